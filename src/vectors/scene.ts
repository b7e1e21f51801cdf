import type { Sql } from "../postgres/connect.ts";

/** What a world's names stand for in the database, as load_world() answers it. */
export interface Names {
  readonly applications: Readonly<Record<string, string>> | null;
  readonly clusters: Readonly<Record<string, string>> | null;
}

interface Application {
  readonly name: string;
  readonly cluster?: string | null;
}

/** No identifier of anything: what a name stands for that the world does not know. */
const NOBODY = "00000000-0000-0000-0000-000000000000";

interface World {
  readonly epoch: string;
  readonly applications: readonly Application[];
}

interface Owned {
  readonly owner: string;
  readonly id: string;
}

/** Not what every object has, such as a `constructor`. */
function idOf(ids: Readonly<Record<string, string>> | null, name: string): string {
  return ids !== null && Object.hasOwn(ids, name) ? (ids[name] as string) : NOBODY;
}

/** Where the steps of one file happen, and what they named on the way. */
export class Scene {
  readonly sql: Sql;
  readonly epoch: string;
  readonly #applications: readonly Application[];
  readonly #names: Names;
  readonly #leases = new Map<string, Owned>();
  readonly #borrowings = new Map<string, Owned>();
  readonly #references = new Map<string, string>();

  constructor(sql: Sql, world: World, names: Names) {
    this.sql = sql;
    this.epoch = world.epoch;
    this.#applications = world.applications;
    this.#names = names;
  }

  application(name: string): string {
    return idOf(this.#names.applications, name);
  }

  /** `app:NAME` or `cluster:NAME` */
  owner(text: string): string {
    const name = text.slice(text.indexOf(":") + 1);
    return text.startsWith("app:") ? this.application(name) : idOf(this.#names.clusters, name);
  }

  /** Of a bucket of this type that the application draws on: itself, or its cluster at layer 1. */
  bucketOwner(application: string, bucketType: string): string {
    if (bucketType.endsWith("_l2")) return this.application(application);
    const { cluster } = this.#applications.find(({ name }) => name === application) ?? {};
    return this.owner(`cluster:${cluster}`);
  }

  rememberLease(name: string, owner: string, id: string): void {
    this.#leases.set(name, { owner, id });
  }

  lease(name: string): Owned {
    return this.#leases.get(name) ?? { owner: this.#anybody(), id: NOBODY };
  }

  rememberBorrowing(name: string, owner: string, id: string): void {
    this.#borrowings.set(name, { owner, id });
  }

  borrowing(name: string): Owned {
    return this.#borrowings.get(name) ?? { owner: this.#anybody(), id: NOBODY };
  }

  /** A refund says only the reference: whose it is was said when it was consumed. */
  rememberReference(reference: string, application: string): void {
    this.#references.set(reference, application);
  }

  ownerOfReference(reference: string): string {
    return this.#references.get(reference) ?? this.#anybody();
  }

  #anybody(): string {
    return Object.values(this.#names.applications ?? {})[0] ?? NOBODY;
  }
}
