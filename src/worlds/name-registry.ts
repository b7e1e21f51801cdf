import type { Sql } from "../postgres/connect.ts";

/** The ids of a world's names in the database, as load_world() returns them. */
export interface Names {
  readonly applications: Readonly<Record<string, string>> | null;
  readonly clusters: Readonly<Record<string, string>> | null;
}

interface Application {
  readonly name: string;
  readonly cluster?: string | null;
}

/** The id of a name that the world does not have: no row has it. */
const unknownId = "00000000-0000-0000-0000-000000000000";

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
  return ids !== null && Object.hasOwn(ids, name) ? (ids[name] as string) : unknownId;
}

/** The ids of the names in one file: of its world, and those that its steps made. */
export class NameRegistry {
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
    return this.#leases.get(name) ?? { owner: this.#anyApplication(), id: unknownId };
  }

  rememberBorrowing(name: string, owner: string, id: string): void {
    this.#borrowings.set(name, { owner, id });
  }

  borrowing(name: string): Owned {
    return this.#borrowings.get(name) ?? { owner: this.#anyApplication(), id: unknownId };
  }

  /** A refund gives only the reference; its application is that of the consume step. */
  rememberReference(reference: string, application: string): void {
    this.#references.set(reference, application);
  }

  ownerOfReference(reference: string): string {
    return this.#references.get(reference) ?? this.#anyApplication();
  }

  #anyApplication(): string {
    return Object.values(this.#names.applications ?? {})[0] ?? unknownId;
  }
}
