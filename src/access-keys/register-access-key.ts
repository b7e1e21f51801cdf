import type { Sql } from "../postgres/connect.ts";

export interface AccessKey {
  readonly appId: string;
  readonly accessKeyId: string;
  readonly name?: string | undefined;
  readonly expiresAt?: string | undefined;
}

/** Makes an access key id that the storage issued a key of an application; answers the key's id. */
export async function registerAccessKey(sql: Sql, key: AccessKey): Promise<string> {
  const [made] = await sql<{ id: string }[]>`
    select api_key_id as id
    from rate_limiter_private.register_access_key(
      ${key.appId}::uuid, ${key.accessKeyId}, ${key.name ?? null}, ${key.expiresAt ?? null}
    )
  `;
  return made?.id ?? "";
}
