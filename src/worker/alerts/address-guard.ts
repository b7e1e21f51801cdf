import { lookup } from "node:dns/promises";
import { BlockList, isIP, isIPv4 } from "node:net";
import { UserError } from "../../user-error.ts";
import { PermanentFailure } from "./failure.ts";

/** Everything that is not the public internet (RFC 6890 and its successors). */
const privateNetworks = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"],
  ...["172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"],
  ...["198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"],
  ...["::/128", "::1/128", "100::/64", "2001::/23", "2001:db8::/32", "fc00::/7", "fe80::/10"],
  ...["fec0::/10", "ff00::/8", "5f00::/16", "3fff::/20"],
  // They embed an IPv4 address, which a translator would connect to.
  ...["::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"],
  // Beyond 2000::/3 no address is public.
  ...["200::/7", "400::/6", "800::/5", "1000::/4", "4000::/2", "8000::/1"],
];

export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** Answers every address of a name. */
export type Resolve = (host: string) => Promise<readonly Address[]>;

/** Answers an address of the host that may be called, or throws. */
export type AddressGuard = (host: string) => Promise<Address>;

/**
 * An alert must not reach hosts that only the worker can reach. All addresses of a name are checked,
 * and the caller connects to the one answered here: a second look-up could answer another. `variable`
 * names the setting that allows private networks.
 */
export function makeAddressGuard(
  allowedNetworks: readonly string[],
  resolve: Resolve = askSystem,
  variable = "ALERT_ALLOWED_NETWORKS",
): AddressGuard {
  const refused = networks(privateNetworks, variable);
  const allowed = networks(allowedNetworks, variable);
  const mayCall = ({ address, family }: Address) => {
    const type = family === 4 ? "ipv4" : "ipv6";
    return allowed.check(address, type) || !refused.check(address, type);
  };
  return async (host) => {
    const name = host.replace(/^\[|\]$/g, "");
    const family = isIP(name);
    const addresses =
      family === 4 || family === 6 ? [{ address: name, family } as const] : await resolve(name);
    const [first] = addresses;
    if (first === undefined || !addresses.every(mayCall)) {
      throw new PermanentFailure(`${host} has an address that is not public; see ${variable}`);
    }
    return first;
  };
}

async function askSystem(host: string): Promise<Address[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => ({ address, family: isIPv4(address) ? 4 : 6 }));
}

function networks(list: readonly string[], variable: string): BlockList {
  const blocks = new BlockList();
  for (const network of list) {
    const [address = "", prefix] = network.split("/");
    const family = isIP(address);
    const most = family === 4 ? 32 : 128;
    const bits = Number(prefix ?? most);
    if (family === 0 || !isWholeUpTo(bits, most)) throw noNetwork(network, variable);
    blocks.addSubnet(address, bits, family === 4 ? "ipv4" : "ipv6");
  }
  return blocks;
}

function isWholeUpTo(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}

function noNetwork(network: string, variable: string): UserError {
  return new UserError(
    "network_invalid",
    `${variable} names no network: ${network}`,
    "Write networks as 10.1.0.0/16 or fd00::/8, separated by commas.",
  );
}
