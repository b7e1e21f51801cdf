import { beforeEach, describe, expect, test } from "vitest";
import { makeTenant } from "../../data-model/world.ts";
import { createDatabase } from "../../harness/index.ts";

const database = await createDatabase();
const { sql } = database;
const { users } = await makeTenant(database, "expiring");

beforeEach(async () => {
  await sql`delete from rate_limiter_private.user_sessions`;
  await sql`delete from rate_limiter_private.login_failures`;
});

async function expire(batchSize = 1000, as = database.as("rate_limiter_worker")): Promise<number> {
  const [row] = await as<{ done: number }[]>`
    select rate_limiter_private.expire_sessions(clock_timestamp(), ${batchSize}) as done
  `;
  return row?.done ?? -1;
}

/** A session with so many refresh tokens that were used. */
async function sessionThat(ended: "lasts" | "lapsed" | "was revoked", tokens = 1): Promise<string> {
  const [row] = await sql<{ id: string }[]>`
    with session as (
      insert into rate_limiter_private.user_sessions (
        user_id, refresh_token_hash, created_at, refresh_expires_at, expires_at, revoked_at,
        revoke_reason
      )
      select
        ${users.auditor}, sha256(gen_random_uuid()::text::bytea), now() - interval '2 days',
        now() + case ${ended} when 'lapsed' then -1 else 1 end * interval '1 hour',
        now() + interval '1 day',
        case ${ended} when 'was revoked' then now() - interval '1 hour' end,
        case ${ended} when 'was revoked' then 'logout' end
      returning session_id
    ),
    used as (
      insert into rate_limiter_private.used_refresh_tokens (token_hash, session_id)
      select sha256(gen_random_uuid()::text::bytea), s.session_id
      from session as s
      cross join generate_series(1, ${tokens}::integer)
    )
    select session_id as id from session
  `;
  return row?.id ?? "";
}

async function sessionsWithTokens(): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select distinct session_id as id from rate_limiter_private.used_refresh_tokens
  `;
  return rows.map((row) => row.id);
}

describe("what sessions need only while they last", () => {
  test("goes when they ended, and the sessions stay for their retention", async () => {
    const lasting = await sessionThat("lasts");
    await sessionThat("lapsed");
    await sessionThat("was revoked");
    expect(await expire()).toBe(2);
    expect(await sessionsWithTokens()).toEqual([lasting]);
    expect(await expire()).toBe(0);
    const sessions = await sql`select from rate_limiter_private.user_sessions`;
    expect(sessions.count).toBe(3);
  });

  test("goes in batches, by two workers side by side without waiting", async () => {
    await sessionThat("lapsed", 25);
    const other = await database.session("other", "rate_limiter_worker");
    await other.sql`begin`;
    expect(await expire(10, other.sql)).toBe(10);
    expect(await expire(10)).toBe(10);
    expect(await expire(10)).toBe(5);
    await other.sql`commit`;
    expect(await sessionsWithTokens()).toEqual([]);
  });
});

test("failures to sign in go after a quiet day, unless they still slow a sign-in", async () => {
  await sql`
    insert into rate_limiter_private.login_failures
      (account, network, failed_attempts, last_failed_at, locked_until)
    values
      ('', '10.0.0.1', 3, now() - interval '25 hours', null),
      ('', '10.0.0.2', 3, now() - interval '25 hours', now() - interval '1 hour'),
      ('', '10.0.0.3', 3, now() - interval '25 hours', now() + interval '1 hour'),
      ('', '10.0.0.4', 3, now() - interval '23 hours', null)
  `;
  expect(await expire()).toBe(2);
  const left = await sql`
    select host(network) as network from rate_limiter_private.login_failures order by network
  `;
  expect(left.map((row) => row.network)).toEqual(["10.0.0.3", "10.0.0.4"]);
});
