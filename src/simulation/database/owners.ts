import { Bucket } from "./bucket.ts";
import { Expiries, isOpen, type Lease } from "./lease.ts";

export interface Terms {
  /** Whole tokens a second. */
  readonly rate: number;
  /** Whole tokens. */
  readonly capacity: number;
}

/** What an application has left of its share of layer 1, and since when. */
interface Share {
  readonly tenant: string;
  readonly askedAt: number;
  readonly left: bigint;
}

/** A cluster: layer 1, what is leased of it, and which applications lease. */
export class Cluster {
  readonly bucket: Bucket;
  /** What layer 1 counts as leased, expired leases included until they are found. */
  leased = 0n;
  readonly expiries = new Expiries();
  readonly shares = new Map<string, Share>();
  /** Applications by tenant. */
  readonly tenants = new Map<string, number>();

  constructor({ rate, capacity }: Terms, at: number) {
    this.bucket = new Bucket(rate, capacity, at);
  }
}

/** An application: layer 2 and its leases. */
export class Application {
  readonly id: string;
  readonly tenant: string;
  readonly cluster: Cluster;
  readonly bucket: Bucket;
  /** By id, those that are over included. */
  readonly leases = new Map<string, Lease>();

  constructor(id: string, tenant: string, cluster: Cluster, terms: Terms, at: number) {
    this.id = id;
    this.tenant = tenant;
    this.cluster = cluster;
    this.bucket = new Bucket(terms.rate, terms.capacity, at);
    cluster.tenants.set(tenant, (cluster.tenants.get(tenant) ?? 0) + 1);
  }

  /** Open leases, all holders but this one, and what they hold together. */
  held(at: number, holder: string) {
    const others = new Set<string>();
    let [tokens, leases] = [0n, 0];
    for (const lease of this.leases.values()) {
      if (!isOpen(lease, at)) continue;
      tokens += lease.tokens;
      leases += 1;
      if (lease.holder !== holder) others.add(lease.holder);
    }
    return { tokens, leases, otherHolders: others.size };
  }
}
