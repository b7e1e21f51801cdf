import { makeTwoTenants, type RoleName, roleNames, type TenantWorld } from "../data-model/world.ts";
import type { TestDatabase } from "../harness/index.ts";
import { type Api, type Client, createApiDatabase, givePasswords, serveApi } from "./api.ts";

export type { RoleName, TenantWorld };
export { roleNames };

export interface ApiWorld {
  readonly database: TestDatabase;
  readonly api: Api;
  readonly mine: TenantWorld;
  readonly theirs: TenantWorld;
  /** A signed-in client for each role of the tenant `mine`. */
  readonly as: Readonly<Record<RoleName, Client>>;
}

/** Two tenants, a server, and the six roles signed in. */
export async function serveTwoTenants(env: NodeJS.ProcessEnv = {}): Promise<ApiWorld> {
  const database = await createApiDatabase();
  const { mine, theirs } = await makeTwoTenants(database);
  await givePasswords(database);
  const api = await serveApi(database, env);
  const as = {} as Record<RoleName, Client>;
  for (const role of roleNames) as[role] = await api.signIn(`${role}@mine.example`);
  return { database, api, mine, theirs, as };
}

/** The data of an answer that has no errors. */
export async function dataOf(asking: ReturnType<Client["ask"]>) {
  const { data, errors } = await asking;
  if (errors !== undefined) throw new Error(JSON.stringify(errors));
  return data;
}

/** Code and message of an answer's one error. */
export async function refusalOf(asking: ReturnType<Client["ask"]>): Promise<string> {
  const { errors = [] } = await asking;
  if (errors.length !== 1) throw new Error(`${errors.length} errors: ${JSON.stringify(errors)}`);
  return `${errors[0]?.extensions.code} ${errors[0]?.message}`;
}
