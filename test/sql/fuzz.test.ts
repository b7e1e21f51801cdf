import fc from "fast-check";
import { expect, test } from "vitest";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";
import { limitedApplication, makeAdministrator, makeCluster, publish } from "./world.ts";

const database = await createDatabase();
const { sql } = database;
const clusterId = await makeCluster(sql);
await publish(sql, { clusterId }, { iops: 1_000 });
const appId = await limitedApplication(sql, { iops: 100, bytes: 1_000_000 }, { clusterId });
const administratorId = await makeAdministrator(sql);

interface Callable {
  readonly name: string;
  readonly schema: string;
  /** As they are written in a cast. */
  readonly types: string[];
  readonly returnsRows: boolean;
}

/** All that gateways and clients may call, and all of the admin API. */
const callables = await sql<Callable[]>`
  select
    p.oid::regprocedure::text as name,
    p.pronamespace::regnamespace || '.' || p.proname as schema,
    array(
      select format_type(t.type, null)
      from unnest(p.proargtypes::oid[]) with ordinality as t (type, place)
      order by t.place
    ) as types,
    p.proretset as "returnsRows"
  from pg_proc as p
  where p.pronamespace in ('rate_limiter'::regnamespace, 'rate_limiter_admin'::regnamespace)
    and p.prokind = 'f'
    and p.prorettype <> 'trigger'::regtype
    and (
      has_function_privilege('rate_limiter_app', p.oid, 'execute')
      or has_function_privilege('rate_limiter_visitor', p.oid, 'execute')
    )
  order by 1
`;

const texts = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom("", " ", "head", "'; drop table x; --", "%s%n", "\\x00", "\u202e", "{", "[]"),
  fc.constantFrom("a".repeat(300), "é".repeat(10_000)),
);
const uuids = fc.oneof(
  fc.uuid(),
  fc.constantFrom(appId, clusterId, administratorId, "00000000-0000-0000-0000-000000000000"),
);
const wholes = (most: string) =>
  fc.oneof(
    fc.integer({ min: -1_000, max: 1_000 }).map(String),
    fc.constantFrom("0", "-1", most, `-${most}`),
  );
const generators: Readonly<Record<string, fc.Arbitrary<string>>> = {
  text: texts,
  "character varying": texts,
  uuid: uuids,
  bigint: wholes("9223372036854775807"),
  integer: wholes("2147483647"),
  smallint: wholes("32767"),
  boolean: fc.constantFrom("true", "false"),
  numeric: fc.oneof(
    fc.double({ noDefaultInfinity: true, noNaN: true }).map(String),
    fc.constantFrom("NaN", "Infinity", "-Infinity", "1e37", "-1e40", "0.0000001", "0"),
  ),
  jsonb: fc.oneof(
    fc.json(),
    fc.constantFrom("[]", "{}", "null", '[{"app_id": 1}]', `[{"app_id": "${appId}"}]`),
    fc.constant("[".repeat(500) + "]".repeat(500)),
  ),
  interval: fc.constantFrom("1 second", "0", "-1 day", "1000000 years", "1 microsecond", "P1Y"),
  "timestamp with time zone": fc.constantFrom(
    ...["infinity", "-infinity", "4713-01-01 BC", "294276-12-31", "2026-01-01", "now"],
  ),
};

function valuesOf(type: string): fc.Arbitrary<string | null> {
  const known = generators[type];
  if (known !== undefined) return fc.option(known, { freq: 6 });
  if (type.endsWith("[]")) {
    const element = generators[type.slice(0, -2)] ?? fc.constant("x");
    const quote = (value: string) => `"${value.replaceAll(/[\\"]/g, "\\$&")}"`;
    const list = fc.array(fc.option(element), { maxLength: 5 });
    return fc.option(
      fc.oneof(
        list.map((items) => `{${items.map((item) => (item === null ? "null" : quote(item)))}}`),
        fc.constantFrom("{}", "{{a},{b}}"),
      ),
    );
  }
  // Enumerations and composites, mostly without a value that fits.
  return fc.option(fc.constantFrom("iops_l2", "enforce", "()", "(1,1,1)", "x"));
}

class Undone extends Error {}

/** The SQLSTATE of a call that is rolled back; undefined where it answered. */
async function stateOf(call: (sql: TransactionSql) => Promise<unknown>, role: Role) {
  try {
    await database.as(role).begin(async (transaction) => {
      await transaction`select set_config('statement_timeout', '5s', true)`;
      if (role === "rate_limiter_visitor") {
        await transaction`select set_config('rate_limiter.user_id', ${administratorId}, true)`;
      }
      await call(transaction);
      throw new Undone();
    });
    return undefined;
  } catch (error) {
    return error instanceof Undone ? undefined : String((error as { code?: string }).code);
  }
}
type Role = "rate_limiter_app" | "rate_limiter_visitor";

/**
 * Those of the product; of PostgreSQL what a value beyond its column or its type raises, a lock that
 * takes too long, and what row security refuses.
 */
const documented = /^(QS\d{3}|22\w{3}|23\w{3}|40001|40P01|55P03|57014|42501)$/;
/** Callers of the data plane get errors of the product alone. */
const ofDataPlane = /^(QS\d{3}|40001|40P01|55P03|57014|42501)$/;

test("the list of functions is whole", () => {
  expect(callables.length).toBeGreaterThan(60);
});

test.each(callables.map((callable) => [callable.name, callable] as const))(
  "%s answers hostile input with an error of its own",
  async (_, { schema, types }) => {
    const role = schema.startsWith("rate_limiter_admin.")
      ? "rate_limiter_visitor"
      : "rate_limiter_app";
    const casts = types.map((type, place) => `$${place + 1}::text::${type}`).join(", ");
    await fc.assert(
      fc.asyncProperty(fc.tuple(...types.map(valuesOf)), async (values) => {
        const isTyped = await stateOf((t) => t.unsafe(`select ${casts || "1"}`, values), role);
        // What does not fit its type does not reach the function.
        if (isTyped !== undefined) return;
        const state = await stateOf((t) => t.unsafe(`select ${schema}(${casts})`, values), role);
        const codes = role === "rate_limiter_app" ? ofDataPlane : documented;
        expect(state === undefined || codes.test(state), `${state}`).toBe(true);
      }),
      { numRuns: types.length === 0 ? 1 : 12, seed: 20, endOnFailure: true },
    );
  },
);
