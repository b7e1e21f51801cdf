import { lookup } from "node:dns/promises";
import { BlockList, isIP, isIPv4 } from "node:net";
import { UserError } from "../../user-error.ts";
import { PermanentFailure } from "./failure.ts";

/**
 * Everything that is not the public internet (RFC 6890 and its successors). is_public_address() in SQL
 * has the same list.
 */
const privateNetworks = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"],
  ...["172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"],
  ...["198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"],
  // No address outside of 2000::/3 is public. Some of them embed an IPv4 address (mapped, compatible,
  // NAT64), which a translator would connect to, as 6to4 and Teredo do within it.
  ...["::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"],
];

export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** Answers every address of a name. */
export type Resolve = (host: string) => Promise<readonly Address[]>;

/** Answers the addresses of the host, at least one, all of which may be called; or throws. */
export type AddressGuard = (host: string) => Promise<readonly Address[]>;

/**
 * What tenants configure must not reach hosts that only the worker can reach. All addresses of a name are checked,
 * and the caller connects to those answered here alone: a second look-up could answer others.
 * `variable` names the setting that allows private networks.
 */
export function makeAddressGuard(
  allowedNetworks: readonly string[],
  resolve: Resolve = askSystem,
  variable = "ALERT_ALLOWED_NETWORKS",
): AddressGuard {
  // By family: a list takes an IPv4 address for one of ::ffff:0:0/96.
  const refused = {
    ipv4: networks(
      privateNetworks.filter((network) => !network.includes(":")),
      variable,
    ),
    ipv6: networks(
      privateNetworks.filter((network) => network.includes(":")),
      variable,
    ),
  };
  const allowed = networks(allowedNetworks, variable);
  const mayCall = ({ address, family }: Address) => {
    const type = family === 4 ? "ipv4" : "ipv6";
    return allowed.check(address, type) || !refused[type].check(address, type);
  };
  return async (host) => {
    const name = host.replace(/^\[|\]$/g, "");
    const family = isIP(name);
    const addresses =
      family === 4 || family === 6 ? [{ address: name, family } as const] : await resolve(name);
    if (addresses.length === 0 || !addresses.every(mayCall)) {
      throw new PermanentFailure(`${host} has an address that is not public; see ${variable}`);
    }
    return addresses;
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
