import { afterAll } from "vitest";
import { hashPassword } from "../../src/api/passwords/password-hash.ts";
import { startApi } from "../../src/api/server.ts";
import type { Service } from "../../src/service.ts";
import { createDatabase, type TestDatabase } from "../harness/index.ts";

export const password = "correct horse battery staple";
export const jwtSecret = "a secret for tests of at least thirty-two bytes";

export interface GraphqlError {
  readonly message: string;
  readonly path?: readonly string[];
  readonly extensions: Readonly<Record<string, unknown>> & { readonly code: string };
}

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what a test asks for is what it gets.
  readonly data?: any;
  readonly errors?: readonly GraphqlError[];
}

/** One user's view of the API, or that of a caller without a token. */
export interface Client {
  ask(query: string, variables?: Record<string, unknown>): Promise<Answer>;
  fetch(path: string, init?: RequestInit): Promise<Response>;
}

export interface Api {
  readonly url: string;
  readonly service: Service;
  readonly nobody: Client;
  /** A client with this header instead of a sign-in. */
  bearing(token: string | undefined): Client;
  signIn(
    email: string,
    secret?: string,
    tenant?: string,
  ): Promise<Client & { readonly accessToken: string }>;
}

/** A running server on the database, stopped after the file. */
export async function serveApi(database: TestDatabase, env: NodeJS.ProcessEnv = {}): Promise<Api> {
  const service = await startApi({
    databaseUrl: database.urlAs("rate_limiter_authenticator"),
    host: "127.0.0.1",
    port: 0,
    env: { JWT_SECRET: jwtSecret, ...env },
  });
  afterAll(() => service.stop());
  const url = service.url ?? "";
  const bearing = (token: string | undefined) => clientOf(url, token);
  return {
    url,
    service,
    nobody: bearing(undefined),
    bearing,
    async signIn(email, secret = password, tenant = tenantOf(email)) {
      const { data } = await bearing(undefined).ask(
        "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }",
        { input: { tenant, email, password: secret } },
      );
      return { accessToken: data.login.accessToken, ...bearing(data.login.accessToken) };
    },
  };
}

/** A database where a password costs next to nothing to check. */
export async function createApiDatabase(): Promise<TestDatabase> {
  const database = await createDatabase();
  await database.sql`
    update rate_limiter.system_settings set value = '10' where key = 'password_hash_cost'
  `;
  return database;
}

export async function givePasswords({ sql }: TestDatabase): Promise<void> {
  const hash = await hashPassword(password, 10);
  await sql`
    insert into rate_limiter_private.user_secrets (user_id, password_hash)
    select u.user_id, ${hash} from rate_limiter.users as u
  `;
}

/** Tests name the tenant in the address: viewer@mine.example is of the tenant mine. */
export function tenantOf(email: string): string {
  return /@([^.]+)\./.exec(email)?.[1] ?? "";
}

function clientOf(url: string, token: string | undefined): Client {
  const authorization = token === undefined ? undefined : { authorization: `Bearer ${token}` };
  const call = (path: string, init: RequestInit = {}) =>
    fetch(new URL(path, url), { ...init, headers: { ...authorization, ...init.headers } });
  return {
    fetch: call,
    async ask(query, variables) {
      const response = await call("/graphql", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ query, variables }),
      });
      const answer = (await response.json()) as Omit<Answer, "status">;
      return { status: response.status, ...answer };
    },
  };
}
