import { beforeAll, describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  dataPlane,
  limitedApplication,
  makeApplication,
  makeCluster,
  makeTenant,
  moment,
  publish,
} from "../world.ts";

const database = await createDatabase();
const gateway = database.as("rate_limiter_app");
const owner = database.as("rate_limiter_owner");

const nobody = "00000000-0000-4000-8000-000000000000";
const quota = { iops: 1, burst: 100, reserve: 10, bytes: 1000 };

const ids = {
  app: "",
  sibling: "",
  stranger: "",
  unlimited: "",
  inactive: "",
  suspended: "",
  ofInactiveTenant: "",
  cluster: "",
  otherCluster: "",
  lease: "",
  expiredLease: "",
  settledLease: "",
  strangersLease: "",
  debtor: "",
  borrowing: "",
};
const keys = { good: "", revoked: "", expired: "", ofInactive: "" };

beforeAll(async () => {
  const { sql } = database;
  const tenantId = await makeTenant(sql);
  ids.cluster = await makeCluster(sql);
  ids.otherCluster = await makeCluster(sql);
  await publish(sql, { clusterId: ids.cluster }, quota);
  const place = { tenantId, clusterId: ids.cluster };
  ids.app = await limitedApplication(sql, quota, place);
  ids.sibling = await limitedApplication(sql, quota, place);
  ids.inactive = await limitedApplication(sql, quota, place);
  ids.suspended = await limitedApplication(sql, quota, place);
  ids.debtor = await limitedApplication(sql, quota, place);
  ids.unlimited = await makeApplication(sql, { tenantId });
  ids.stranger = await limitedApplication(sql, quota);
  ids.ofInactiveTenant = await limitedApplication(sql, quota);

  keys.good = await makeKey(sql, ids.app);
  keys.revoked = await makeKey(sql, ids.app);
  keys.expired = await makeKey(sql, ids.app);
  keys.ofInactive = await makeKey(sql, ids.inactive);
  await sql`
    update rate_limiter_private.api_keys
    set revoked_at = case when prefix = ${keys.revoked.slice(0, 12)} then now() end,
      expires_at = case when prefix = ${keys.expired.slice(0, 12)} then now() end
    where prefix in (${keys.revoked.slice(0, 12)}, ${keys.expired.slice(0, 12)})
  `;

  await gateway`select rate_limiter.consume(${ids.app}, 'head', 10, 'charged')`;
  await gateway`select rate_limiter.consume(${ids.stranger}, 'head', 10, 'of a stranger')`;
  ids.lease = await lease(ids.app, "now()");
  ids.expiredLease = await lease(ids.app, moment(0));
  ids.strangersLease = await lease(ids.stranger, "now()");
  ids.settledLease = await lease(ids.app, "now()");
  await gateway`select rate_limiter.settle_lease(${ids.app}, ${ids.settledLease}, 0, 0)`;
  ids.borrowing = await borrow(ids.app, "now()");
  await gateway`select rate_limiter.charge_owed(${ids.debtor}, 2000, 0, 'owed')`;
  await sql`
    update rate_limiter.app_facts set suspended_until = 'infinity'
    where app_id = ${ids.suspended}
  `;
  await sql`
    update rate_limiter.applications set is_active = false where app_id = ${ids.inactive}
  `;
  await sql`
    update rate_limiter.tenants as t
    set is_active = false
    from rate_limiter.applications as a
    where a.tenant_id = t.tenant_id and a.app_id = ${ids.ofInactiveTenant}
  `;
  await sql`
    insert into rate_limiter.operation_types (name, category, is_active)
    values ('retired', 'other', false)
  `;
  await sql`
    update rate_limiter.applications set auto_borrow = true
    where app_id in (${ids.app}, ${ids.unlimited}, ${ids.debtor}, ${ids.ofInactiveTenant})
  `;
});

async function makeKey(sql: Sql, appId: string): Promise<string> {
  const [row] = await sql`select api_key from rate_limiter_private.issue_api_key(${appId})`;
  return row?.api_key;
}

async function lease(appId: string, at: string): Promise<string> {
  const [row] = await owner`
    select lease_id
    from rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}::text::timestamptz, ${appId}, 5, 100, '1 hour'
    )
  `;
  return row?.lease_id;
}

async function borrow(appId: string, at: string): Promise<string> {
  const [row] = await owner`
    select borrowing_id
    from rate_limiter_internal.borrow_tokens_at(
      ${at}::text::timestamptz, ${appId}, 'iops_l2', 5, '1 hour'
    )
  `;
  return row?.borrowing_id;
}

type Call = (sql: Sql) => PromiseLike<unknown>;
/** What is wrong, the code and the message of the error, and the call. */
type ErrorCase = readonly [string, string, string, Call];

function raises(cases: readonly ErrorCase[], as: Sql): void {
  test.each(cases)("%s raises %s: %s", async (_, code, message, call) => {
    const before = await dataPlane(database.sql);
    await expectSqlState(call(as), code, message);
    expect(await dataPlane(database.sql)).toEqual(before);
  });
}

/** The calls that name an application, an operation and a size, and answer the same of them. */
const decisions: readonly (readonly [
  string,
  (app: string, operation: string, size: string | null) => Call,
])[] = [
  [
    "consume",
    (app, operation, size) => (sql) =>
      sql`select rate_limiter.consume(${app}, ${operation}, ${size}::bigint)`,
  ],
  [
    "consume with a reference",
    (app, operation, size) => (sql) =>
      sql`select rate_limiter.consume(${app}, ${operation}, ${size}::bigint, 'new')`,
  ],
  [
    "consume_batch",
    (app, operation, size) => (sql) =>
      sql`
        select rate_limiter.consume_batch(
          ${app}, array['head', ${operation}], array[0, ${size}::bigint]
        )
      `,
  ],
  [
    "check_limit",
    (app, operation, size) => (sql) =>
      sql`select rate_limiter.check_limit(${app}, ${operation}, ${size}::bigint)`,
  ],
];

describe.each(decisions)("%s raises an error for", (_, decide) => {
  raises(
    [
      [
        "an unknown application",
        "QS404",
        "unknown application",
        (sql) => decide(nobody, "head", "0")(sql),
      ],
      [
        "an inactive application",
        "QS403",
        "application is inactive",
        (sql) => decide(ids.inactive, "head", "0")(sql),
      ],
      [
        "an inactive tenant",
        "QS403",
        "tenant is inactive",
        (sql) => decide(ids.ofInactiveTenant, "head", "0")(sql),
      ],
      [
        "a suspended application",
        "QS403",
        "application is suspended",
        (sql) => decide(ids.suspended, "head", "0")(sql),
      ],
      [
        "an unknown operation",
        "QS404",
        "unknown operation",
        (sql) => decide(ids.app, "teleport", "0")(sql),
      ],
      [
        "a name of megabytes",
        "QS422",
        "operation is longer than 255 characters",
        (sql) => decide(ids.app, "x".repeat(5_000_000), "0")(sql),
      ],
      [
        "an inactive operation",
        "QS403",
        "operation is inactive",
        (sql) => decide(ids.app, "retired", "0")(sql),
      ],
      ["a negative size", "QS422", "size is negative", (sql) => decide(ids.app, "head", "-1")(sql)],
      [
        "the smallest of all sizes",
        "QS422",
        "size is negative",
        (sql) => decide(ids.app, "head", "-9223372036854775808")(sql),
      ],
      [
        "a size beyond the largest",
        "22003",
        'value "9223372036854775808" is out of range for type bigint',
        (sql) => decide(ids.app, "head", "9223372036854775808")(sql),
      ],
    ],
    gateway,
  );
});

describe("cost raises an error for", () => {
  const cost = (operation: string, size: number) => (sql: Sql) =>
    sql`select rate_limiter.cost(${ids.app}, ${operation}, ${size})`;
  raises(
    [
      ["an unknown operation", "QS404", "unknown operation", cost("teleport", 0)],
      ["an inactive operation", "QS403", "operation is inactive", cost("retired", 0)],
      ["a negative size", "QS422", "size is negative", cost("head", -1)],
    ],
    gateway,
  );
});

describe("references and batches", () => {
  const named =
    (reference: string, operation = "head", size = 0) =>
    (sql: Sql) =>
      sql`select rate_limiter.consume(${ids.app}, ${operation}, ${size}, ${reference})`;
  const batch =
    (operations: string[], sizes: number[], references: string[] | null = null) =>
    (sql: Sql) =>
      sql`
        select rate_limiter.consume_batch(
          ${ids.app}, ${operations}::text[], ${sizes}::bigint[], ${references}::text[]
        )
      `;
  const reference = "reference is not of 1 to 255 characters";
  const length = "batch is not of 1 to 1000 operations";
  const uneven = "arrays of a batch differ in length";
  const another = "reference is of another operation";
  const plain = "array of a batch is not a plain list";
  const spelled = (operations: string, sizes: string, references: string) => (sql: Sql) =>
    sql`
      select rate_limiter.consume_batch(
        ${ids.app}, ${operations}::text::text[], ${sizes}::text::bigint[],
        ${references}::text::text[]
      )
    `;
  const fromZero = spelled("[0:1]={head,list}", "[0:1]={1,2}", "[0:1]={a,b}");
  const square = spelled("{{head},{list}}", "{1,2}", "{a,b}");
  const heads = (count: number) => Array<string>(count).fill("head");
  raises(
    [
      ["an empty reference", "QS422", reference, named("")],
      ["a reference too long", "QS422", reference, named("x".repeat(256))],
      ["a bad reference in a batch", "QS422", reference, batch(["head"], [0], [""])],
      ["a batch that counts from zero", "QS422", plain, fromZero],
      ["a batch in two dimensions", "QS422", plain, square],
      ["a reference of another operation", "QS409", another, named("charged", "list", 10)],
      ["a reference of a smaller size", "QS409", another, named("charged", "head", 11)],
      [
        "a reference of another operation in a batch",
        "QS409",
        another,
        batch(["head", "list"], [0, 10], ["new", "charged"]),
      ],
      [
        "a reference of a smaller size in a batch",
        "QS409",
        another,
        batch(["head", "head"], [0, 11], ["new", "charged"]),
      ],
      ["an empty batch", "QS422", length, batch([], [])],
      ["a batch too long", "QS422", length, batch(heads(1_001), Array(1_001).fill(0))],
      ["fewer sizes", "QS422", uneven, batch(heads(2), [0])],
      ["more references", "QS422", uneven, batch(heads(1), [0], ["a", "b"])],
      [
        "a reference twice",
        "QS422",
        "reference occurs twice in a batch",
        batch(heads(2), [0, 0], ["a", "a"]),
      ],
    ],
    gateway,
  );
});

describe("keys", () => {
  const opens = (key: () => string | null) => (sql: Sql) =>
    sql`select rate_limiter.application_of_key(${key()})`;
  const consumes = (key: () => string | null) => (sql: Sql) =>
    sql`select rate_limiter.consume_with_key(${key()}, 'head')`;
  const both = (what: string, message: string, key: () => string | null): ErrorCase[] => [
    [`${what}, asked for`, "QS401", message, opens(key)],
    [`${what}, consumed with`, "QS401", message, consumes(key)],
  ];
  raises(
    [
      ...both("an unknown key", "unknown api key", () => `qos_${"x".repeat(43)}`),
      ...both("no key", "unknown api key", () => null),
      ...both("an empty key", "unknown api key", () => ""),
      ...both("half a key", "unknown api key", () => keys.good.slice(0, 24)),
      ...both("a revoked key", "api key is revoked", () => keys.revoked),
      ...both("an expired key", "api key has expired", () => keys.expired),
      [
        "the key of an inactive application",
        "QS403",
        "application is inactive",
        consumes(() => keys.ofInactive),
      ],
    ],
    gateway,
  );

  test("say nothing of what was sent", async () => {
    const error = await expectSqlState(opens(() => "another system's secret")(gateway), "QS401");
    expect(JSON.stringify(error)).not.toContain("another system's secret");
  });
});

const badAmounts = ["-1", "-0.000001", "NaN", "Infinity", "0.0000001", "1e31", null];
const badAmount = "amount is not a count of tokens";

describe("leases", () => {
  const take =
    (app: () => string, tokens: string | null, bytes: string | null, life: string | null = null) =>
    (sql: Sql) =>
      sql`
        select rate_limiter.lease_tokens(
          ${app()}, ${tokens}::text::numeric, ${bytes}::text::numeric, ${life}::text::interval
        )
      `;
  const settle =
    (leaseId: () => string, tokens: string | null, bytes: string | null = "0") =>
    (sql: Sql) =>
      sql`
        select rate_limiter.settle_lease(
          ${ids.app}, ${leaseId()}, ${tokens}::text::numeric, ${bytes}::text::numeric
        )
      `;
  const renew =
    (spent: string | null, tokens: string | null, bytes: string | null = "0", leased = lease) =>
    (sql: Sql) =>
      sql`
        select rate_limiter.renew_lease(
          ${ids.app}, ${leased()}, ${spent}::text::numeric, ${bytes}::text::numeric,
          ${tokens}::text::numeric, 0
        )
      `;
  const settleOwing = (tokens: string | null, bytes: string | null) => (sql: Sql) =>
    sql`
      select rate_limiter.settle_lease(
        ${ids.app}, ${ids.lease}, 0, 0, null, ${tokens}::text::numeric, ${bytes}::text::numeric
      )
    `;
  const renewOwing =
    (tokens: string | null, bytes: string | null, leased = lease) =>
    (sql: Sql) =>
      sql`
        select rate_limiter.renew_lease(
          ${ids.app}, ${leased()}, 0, 0, 1, 0, null, null, null, ${tokens}::text::numeric,
          ${bytes}::text::numeric
        )
      `;
  const lease = () => ids.lease;
  const expired = () => ids.expiredLease;
  const app = () => ids.app;
  const withDenials = (sql: Sql) =>
    sql`
      select rate_limiter.lease_tokens(
        null, 1, 0,
        denials => '[{"minute": "2026-01-01T00:00Z", "reason": "iops_l2", "operations": 1}]'
      )
    `;
  const held = (holder: string) => (sql: Sql) =>
    sql`select rate_limiter.lease_tokens(${ids.app}, 1, 0, holder => ${holder})`;
  const heldAgain = (holder: string) => (sql: Sql) =>
    sql`
      select rate_limiter.renew_lease(${ids.app}, ${ids.lease}, 0, 0, 1, 0, holder => ${holder})
    `;
  const holder = "holder is not of 1 to 255 characters";
  const lifetime = "lifetime is not between 100 milliseconds and one hour";
  const overspent = "spent more than was leased";

  raises(
    [
      ["for an unknown application", "QS404", "unknown application", take(() => nobody, "1", "0")],
      ["for none, with denials", "QS404", "unknown application", withDenials],
      [
        "for an inactive application",
        "QS403",
        "application is inactive",
        take(() => ids.inactive, "1", "0"),
      ],
      [
        "for an inactive tenant",
        "QS403",
        "tenant is inactive",
        take(() => ids.ofInactiveTenant, "1", "0"),
      ],
      ["by a holder of megabytes", "QS422", holder, held("x".repeat(5_000_000))],
      ["by a holder too long", "QS422", holder, held("x".repeat(256))],
      ["by a holder without a name", "QS422", holder, held("")],
      ["renewed by a holder too long", "QS422", holder, heldAgain("x".repeat(256))],
      ["too short", "QS422", lifetime, take(app, "1", "0", "99 ms")],
      ["too long", "QS422", lifetime, take(app, "1", "0", "1 hour 1 us")],
      ["backwards", "QS422", lifetime, take(app, "1", "0", "-1 s")],
      ["for ages", "QS422", lifetime, take(app, "1", "0", "178000000 years")],
      ...badAmounts.flatMap((amount): ErrorCase[] => [
        [`of ${amount} tokens`, "QS422", badAmount, take(app, amount, "0")],
        [`of ${amount} bytes`, "QS422", badAmount, take(app, "0", amount)],
        [`renewed for ${amount}`, "QS422", badAmount, renew("1", amount)],
        [`settled, owing ${amount} tokens`, "QS422", badAmount, settleOwing(amount, "0")],
        [`settled, owing ${amount} bytes`, "QS422", badAmount, settleOwing("0", amount)],
        [`renewed, owing ${amount} tokens`, "QS422", badAmount, renewOwing(amount, "0")],
        [`renewed, owing ${amount} bytes`, "QS422", badAmount, renewOwing("0", amount)],
        [`expired, owing ${amount} tokens`, "QS422", badAmount, renewOwing(amount, "0", expired)],
      ]),
      ["renewed, negative spent", "QS422", badAmount, renew("-1", "1")],
      ["unknown", "QS404", "unknown lease", settle(() => nobody, "0")],
      ["a stranger's", "QS404", "unknown lease", settle(() => ids.strangersLease, "0")],
      ["expired", "QS410", "lease has expired", settle(expired, "0")],
      ["settled", "QS409", "lease is settled", settle(() => ids.settledLease, "0")],
      ["overspent", "QS422", overspent, settle(lease, "5.000001")],
      ["overspent in bytes", "QS422", overspent, settle(lease, "0", "101")],
      ["renewed and overspent", "QS422", overspent, renew("5.000001", "1")],
      ["renewed and overspent in bytes", "QS422", overspent, renew("0", "1", "101")],
      ["renewed late and overspent", "QS422", overspent, renew("6", "1", "0", expired)],
      ["spent beyond number", "QS422", badAmount, settle(() => ids.lease, "NaN")],
      ["spent less than nothing", "QS422", badAmount, settle(() => ids.lease, "-1")],
      ["spent nobody knows what", "QS422", badAmount, settle(() => ids.lease, null)],
    ],
    gateway,
  );
});

describe("settle and refund", () => {
  const settle = (app: () => string, reference: string | null, size: string | null) => (sql: Sql) =>
    sql`select rate_limiter.settle(${app()}, ${reference}, ${size}::text::bigint)`;
  const refund = (app: () => string, reference: string | null) => (sql: Sql) =>
    sql`select rate_limiter.refund(${app()}, ${reference})`;
  const app = () => ids.app;
  const unknown = "unknown reference";
  raises(
    [
      ["refund of what was never consumed", "QS404", unknown, refund(app, "never")],
      ["refund of a stranger's", "QS404", unknown, refund(app, "of a stranger")],
      ["refund to a stranger", "QS404", unknown, refund(() => ids.stranger, "charged")],
      [
        "refund of megabytes",
        "QS422",
        "reference is not of 1 to 255 characters",
        refund(app, "x".repeat(5_000_000)),
      ],
      ["refund of nothing", "QS404", unknown, refund(app, null)],
      ["refund to nobody", "QS404", unknown, refund(() => nobody, "charged")],
      ["settle of what was never consumed", "QS404", unknown, settle(app, "never", "1")],
      ["settle of a stranger's", "QS404", unknown, settle(app, "of a stranger", "1")],
      ["settle of nothing", "QS404", unknown, settle(app, null, "1")],
      ["settle at a negative size", "QS422", "size is negative", settle(app, "charged", "-1")],
      ["settle at no size", "QS422", "size is negative", settle(app, "charged", null)],
    ],
    gateway,
  );
});

describe("what an operation costs", () => {
  const cost = (appId: string | null) => (sql: Sql) =>
    sql`select rate_limiter.cost(${appId}, 'head')`;
  raises(
    [
      ["for no application", "QS404", "unknown application", cost(null)],
      ["for an unknown application", "QS404", "unknown application", cost(nobody)],
    ],
    gateway,
  );
});

describe("charging what is owed", () => {
  const charge =
    (app: () => string, tokens: string | null, bytes: string | null, key: string | null = "k") =>
    (sql: Sql) =>
      sql`
        select rate_limiter.charge_owed(
          ${app()}, ${tokens}::text::numeric, ${bytes}::text::numeric, ${key}
        )
      `;
  const app = () => ids.app;
  const badKey = "idempotency key is not of 1 to 255 characters";
  raises(
    [
      ["to an unknown application", "QS404", "unknown application", charge(() => nobody, "1", "0")],
      ["of nothing", "QS422", "nothing is owed", charge(app, "0", "0", "nothing")],
      ["without a key", "QS422", badKey, charge(app, "1", "0", null)],
      ["under an empty key", "QS422", badKey, charge(app, "1", "0", "")],
      ["under a key too long", "QS422", badKey, charge(app, "1", "0", "x".repeat(256))],
      ...badAmounts.flatMap((amount): ErrorCase[] => [
        [`of ${amount} tokens`, "QS422", badAmount, charge(app, amount, "0")],
        [`of ${amount} bytes`, "QS422", badAmount, charge(app, "0", amount)],
      ]),
    ],
    gateway,
  );
});

test("denials are read alike whatever a session makes of backslashes", async () => {
  await database.withTransaction("rate_limiter_app", {}, async (sql) => {
    await sql`set local standard_conforming_strings = off`;
    await sql`set local escape_string_warning = off`;
    const count = { minute: "2026-01-01T00:00Z", reason: "iops_l2", operations: 1 };
    const denials = JSON.stringify([{ ...count, tokens: "1x5" }]);
    await expectSqlState(
      sql`select rate_limiter.lease_tokens(${ids.app}, 1, 0, denials => ${denials}::text::jsonb)`,
      "QS422",
      "denials are malformed",
    );
  });
});

describe("automatic borrowing", () => {
  const borrowing = (app: () => string, tokens: string | null) => (sql: Sql) =>
    sql`select rate_limiter.borrow_automatically(${app()}, ${tokens}::text::numeric)`;
  const off = "automatic borrowing is off";
  raises(
    [
      ["switched off", "QS403", off, borrowing(() => ids.sibling, "1")],
      ["for nobody", "QS403", off, borrowing(() => nobody, "1")],
      ["in an inactive tenant", "QS403", off, borrowing(() => ids.ofInactiveTenant, "1")],
      ["of nothing", "QS422", "amount is not positive", borrowing(() => ids.app, "0")],
      ["beyond the ratio", "QS409", "borrow limit", borrowing(() => ids.app, "100")],
      ["without a quota", "QS404", "unknown bucket", borrowing(() => ids.unlimited, "1")],
      ["in debt", "QS409", "borrower in debt", borrowing(() => ids.debtor, "1")],
      ...badAmounts.map(
        (amount): ErrorCase => [
          `of ${amount}`,
          "QS422",
          badAmount,
          borrowing(() => ids.app, amount),
        ],
      ),
    ],
    gateway,
  );
});

describe("borrowing", () => {
  interface Wish {
    readonly borrower?: () => string;
    readonly bucket?: string;
    readonly tokens?: string;
    readonly duration?: string | null;
    readonly lender?: () => string;
  }
  const wish = (wanted: Wish) => (sql: Sql) =>
    sql`
      select rate_limiter_internal.borrow_tokens_at(
        now(), ${(wanted.borrower ?? (() => ids.app))()},
        ${wanted.bucket ?? "iops_l2"}::text::rate_limiter.bucket_type,
        ${wanted.tokens ?? "1"}::text::numeric,
        ${wanted.duration === undefined ? "1 hour" : wanted.duration}::text::interval,
        ${wanted.lender?.() ?? null}::text::uuid
      )
    `;
  const notPositive = "duration is not positive";
  const notAllowed = "lender not allowed";
  raises(
    [
      ["nothing", "QS422", "amount is not positive", wish({ tokens: "0" })],
      ["less than nothing", "QS422", badAmount, wish({ tokens: "-1" })],
      ["no number", "QS422", badAmount, wish({ tokens: "NaN" })],
      ["for no time", "QS422", notPositive, wish({ duration: "0" })],
      ["for less than no time", "QS422", notPositive, wish({ duration: "-1 s" })],
      ["for nobody knows how long", "QS422", notPositive, wish({ duration: null })],
      ["for too long", "QS422", "duration too long", wish({ duration: "3600.000001 s" })],
      ["for ages", "QS422", "duration too long", wish({ duration: "178000000 years" })],
      ["more than the ratio", "QS409", "borrow limit", wish({ tokens: "60" })],
      ["from itself", "QS422", notAllowed, wish({ lender: () => ids.app })],
      ["from its cluster", "QS422", notAllowed, wish({ lender: () => ids.cluster })],
      ["from another tenant", "QS422", notAllowed, wish({ lender: () => ids.stranger })],
      ["from nobody", "QS422", notAllowed, wish({ lender: () => nobody })],
      ["from another cluster", "QS422", notAllowed, wish({ lender: () => ids.otherCluster })],
      [
        "for a cluster",
        "QS422",
        "only applications borrow",
        wish({ borrower: () => ids.cluster, bucket: "iops_l1" }),
      ],
      [
        "for an application without a quota",
        "QS404",
        "unknown bucket",
        wish({ borrower: () => ids.unlimited }),
      ],
      ["for nobody", "QS404", "unknown bucket", wish({ borrower: () => nobody })],
      [
        "from an application without a quota",
        "QS422",
        notAllowed,
        wish({ lender: () => ids.unlimited }),
      ],
      ["in debt", "QS409", "borrower in debt", wish({ borrower: () => ids.debtor })],
    ],
    owner,
  );

  test("out of the lender's reserve: QS409, and nothing moves", async () => {
    // 91 tokens of 100 would leave less than the reserve of 10; they fit the emptied borrower.
    await database.sql`
      select rate_limiter_internal.adjust_tokens_at(now(), ${ids.app}, 'iops_l2', -80, 'test')
    `;
    const before = await dataPlane(database.sql);
    await expectSqlState(
      wish({ tokens: "91", lender: () => ids.sibling })(owner),
      "QS409",
      "lender short",
    );
    expect(await dataPlane(database.sql)).toEqual(before);
  });

  const repay = (who: () => string, which: () => string) => (sql: Sql) =>
    sql`select rate_limiter_internal.repay_borrowing_at(now(), ${who()}, ${which()})`;
  const cancel = (who: () => string, which: () => string) => (sql: Sql) =>
    sql`select rate_limiter_internal.cancel_borrowing_at(now(), ${who()}, ${which()}, 'test')`;
  const [app, borrowing, unknown] = [() => ids.app, () => ids.borrowing, () => nobody];
  raises(
    [
      ["repaying an unknown one", "QS404", "unknown borrowing", repay(app, unknown)],
      ["repaying another's", "QS404", "unknown borrowing", repay(() => ids.sibling, borrowing)],
      ["writing off an unknown one", "QS404", "unknown borrowing", cancel(app, unknown)],
      ["writing off another's", "QS404", "unknown borrowing", cancel(() => ids.sibling, borrowing)],
    ],
    owner,
  );
});

describe("adjusting", () => {
  const adjust =
    (change: string | null, reason: string | null, who = () => ids.sibling) =>
    (sql: Sql) =>
      sql`
        select rate_limiter_internal.adjust_tokens_at(
          now(), ${who()}, 'iops_l2', ${change}::text::numeric, ${reason}
        )
      `;
  const leaves = "adjustment leaves the bucket";
  raises(
    [
      ["below nothing", "QS422", leaves, adjust("-100.000001", "why")],
      ["above the capacity", "QS422", leaves, adjust("0.000001", "why")],
      ["further into debt", "QS422", leaves, adjust("-0.000001", "why", () => ids.debtor)],
      ["by no number", "QS422", badAmount, adjust("NaN", "why")],
      ["by nobody knows what", "QS422", badAmount, adjust(null, "why")],
      ["by less than a millionth", "QS422", badAmount, adjust("-0.0000001", "why")],
      ["without a reason", "QS422", "reason is missing", adjust("-1", null)],
      ["with a blank reason", "QS422", "reason is missing", adjust("-1", " ")],
      [
        "with a long reason",
        "QS422",
        "reason is longer than 1000 characters",
        adjust("-1", "x".repeat(1_001)),
      ],
      ["what is not there", "QS404", "unknown bucket", adjust("-1", "why", () => nobody)],
      ["without a quota", "QS404", "unknown bucket", adjust("-1", "why", () => ids.unlimited)],
    ],
    owner,
  );
});
