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
  // They carry an IPv4 address inside, which a translator on the way would unpack.
  ...["::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"],
];

export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** Answers every address of a name. */
export type Resolve = (host: string) => Promise<readonly Address[]>;

/** Answers an address of the host that may be called, or refuses. */
export type AddressGuard = (host: string) => Promise<Address>;

/**
 * Whoever may set up an alert must not reach, through the worker, what only the worker can reach.
 * All addresses of a name are judged, and the caller connects to the one answered here: asking again
 * could answer another.
 */
export function makeAddressGuard(
  allowedNetworks: readonly string[],
  resolve: Resolve = askSystem,
): AddressGuard {
  const refused = networks(privateNetworks);
  const allowed = networks(allowedNetworks);
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
      throw new PermanentFailure(
        `${host} has an address that is not public; see ALERT_ALLOWED_NETWORKS`,
      );
    }
    return first;
  };
}

async function askSystem(host: string): Promise<Address[]> {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => ({ address, family: isIPv4(address) ? 4 : 6 }));
}

function networks(list: readonly string[]): BlockList {
  const blocks = new BlockList();
  for (const network of list) {
    const [address = "", prefix] = network.split("/");
    const family = isIP(address);
    const most = family === 4 ? 32 : 128;
    const bits = Number(prefix ?? most);
    if (family === 0 || !isWholeUpTo(bits, most)) throw noNetwork(network);
    blocks.addSubnet(address, bits, family === 4 ? "ipv4" : "ipv6");
  }
  return blocks;
}

function isWholeUpTo(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}

function noNetwork(network: string): UserError {
  return new UserError(
    "network_invalid",
    `ALERT_ALLOWED_NETWORKS names no network: ${network}`,
    "Write networks as 10.1.0.0/16 or fd00::/8, separated by commas.",
  );
}
