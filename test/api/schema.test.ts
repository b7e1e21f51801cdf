import pg from "pg";
import { makeSchema } from "postgraphile";
import { lexicographicSortSchema, printSchema } from "postgraphile/graphql";
import { afterAll, describe, expect, test } from "vitest";
import { textEnums } from "../../src/api/graphql/enums.ts";
import { secondFactors } from "../../src/api/identity/second-factors.ts";
import { hashQueue } from "../../src/api/passwords/hash-queue.ts";
import { apiPreset } from "../../src/api/preset.ts";
import { apiSettings } from "../../src/api/settings.ts";
import { connect } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const databaseUrl = database.urlAs("rate_limiter_authenticator");
const pool = new pg.Pool({ connectionString: databaseUrl });
const sql = connect(databaseUrl);
afterAll(async () => {
  await pool.end();
  await sql.end();
});

const keys = [new Uint8Array(32)] as const;
const preset = apiPreset({
  ...{ settings: apiSettings({}), pool, sql, keys },
  metrics: { refused: () => {} },
  sockets: { follows: () => {} },
  signIn: { sql, hashes: hashQueue(), factors: secondFactors(keys) },
  isSignedIn: () => false,
  requestOf: () => {
    throw new Error("nothing is asked of this schema");
  },
});
const { schema } = await makeSchema(preset);
const printed = printSchema(lexicographicSortSchema(schema));

const fieldsOf = (type: string) =>
  Object.keys(
    (schema.getType(type) as { getFields(): Record<string, unknown> } | undefined)?.getFields() ??
      {},
  );

test("the schema is the one in schema.graphql: read it in diffs, update it with -u", async () => {
  await expect(`${printed}\n`).toMatchFileSnapshot("../../schema.graphql");
});

describe("the schema", () => {
  test("has neither hashes nor secrets nor helpers", () => {
    expect(printed).not.toMatch(/hash/i);
    expect(printed).not.toMatch(/RateLimiter(Private|Internal|Admin|Audit)/);
    expect(fieldsOf("User")).not.toContain("passwordHash");
    expect(fieldsOf("AlertConfig")).not.toContain("notificationConfig");
  });

  test("has no mutations of rows of buckets, the ledger, quotas, metrics and the audit", () => {
    const written = fieldsOf("Mutation").filter((name) =>
      /^(create|update|delete)(Bucket|Ledger|Quota|Charge|Lease|Borrowing|Audit|Metric|Iops|Bandwidth|Daily|Hourly|Denial|Alert$|ApiKey$|UserSession|UserRole|SystemSetting)/.test(
        name,
      ),
    );
    expect(written).toEqual(["createApiKey"]);
  });

  test("leaves out the functions of gateways", () => {
    const everything = [...fieldsOf("Query"), ...fieldsOf("Mutation")];
    expect(
      everything.filter((name) =>
        /^(consume|checkLimit|cost$|leaseTokens|renewLease|settle|refund)/.test(name),
      ),
    ).toEqual([]);
  });
});

test("amounts keep every digit, moments and spans are standard scalars", () => {
  const typeOf = (type: string, field: string) =>
    new RegExp(`^type ${type} \\{[^}]*?^  ${field}: (\\S+)$`, "ms").exec(printed)?.[1];
  expect(typeOf("LedgerEntry", "balanceAfter")).toBe("BigFloat!");
  expect(typeOf("LedgerEntry", "seq")).toBe("BigInt!");
  expect(typeOf("LedgerEntry", "createdAt")).toBe("Datetime!");
  expect(typeOf("RetentionPolicy", "retainFor")).toBe("Duration");
});

test("a mutation that refuses to go without a reason says so in the schema", () => {
  const mutation = schema.getMutationType() as unknown as {
    getFields(): Record<string, { args: readonly { name: string; type: unknown }[] }>;
  };
  const inputs = Object.values(mutation.getFields()).flatMap(({ args }) =>
    args.filter(({ name }) => name === "input").map(({ type }) => `${type}`.replace("!", "")),
  );
  const reasons = inputs.flatMap((input) => {
    const fields = schema.getType(input) as unknown as {
      getFields(): Record<string, { type: unknown }>;
    };
    const { reason } = fields.getFields();
    return reason === undefined ? [] : [`${input} ${reason.type}`];
  });
  expect(reasons.length).toBeGreaterThan(10);
  expect(reasons.filter((reason) => !reason.endsWith("String!"))).toEqual([]);
});

test("everything that can be asked for is described", () => {
  const undescribed = ["Query", "Mutation", "Subscription"].flatMap((type) => {
    const object = schema.getType(type) as unknown as {
      getFields(): Record<string, { description?: string | null }>;
    };
    return Object.entries(object.getFields())
      .filter(([, { description }]) => !description)
      .map(([name]) => `${type}.${name}`);
  });
  // Readers of one row by its key say all in their name.
  expect(undescribed.filter((name) => !/^Query\.\w+$/.test(name))).toEqual([]);
});

test("each column that takes one of a few texts is an enum of just these", async () => {
  const columns = await database.sql`
    select
      c.relname || '.' || a.attname as place,
      pg_get_constraintdef(k.oid) as definition
    from pg_constraint as k
    join pg_class as c on c.oid = k.conrelid and not c.relispartition
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.conkey[1]
    where n.nspname in ('rate_limiter', 'rate_limiter_audit')
      and k.contype = 'c'
      and cardinality(k.conkey) = 1
      and pg_get_constraintdef(k.oid) ~ '= ANY'
      and has_column_privilege('rate_limiter_visitor', c.oid, a.attnum, 'select')
  `;
  expect(columns.length).toBeGreaterThan(8);
  const known = new Map(
    Object.values(textEnums).flatMap(({ values, at }) =>
      at.map((place) => [place, Object.keys(values).sort()] as const),
    ),
  );
  for (const { place, definition } of columns) {
    const allowed = [...definition.matchAll(/'([^']+)'::/g)].map(([, text]) => text).sort();
    // Both tables of denials are read through one view.
    const view = place.replace(/^recent_denials/, "v_denial_counts");
    const texts = known.get(view) ?? known.get(`v_${place}`);
    expect.soft(texts, `${place}: ${definition}`).toEqual(allowed);
  }
});

test("a row is looked up by one value, and none is called after its function", () => {
  expect(fieldsOf("Query").filter((name) => /By\w+And/.test(name))).toEqual([]);
  expect(Object.keys(schema.getTypeMap()).filter((name) => /Record$/.test(name))).toEqual([]);
  expect(fieldsOf("Query")).not.toContain("activeQuotas");
});
