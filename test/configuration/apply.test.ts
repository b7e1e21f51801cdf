import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { configurationOf } from "../../src/configuration/configuration.ts";
import { applyConfiguration } from "../../src/management/by-database/apply.ts";
import { connect } from "../../src/postgres/connect.ts";
import { runInProcess } from "../cli/in-process.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const { sql } = database;
vi.stubEnv("DATABASE_URL", database.url);
vi.stubEnv("QOS_OPERATOR", "");
const folder = mkdtempSync(join(tmpdir(), "storage-qos-apply-"));
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(async () => {
  await createAdministrator(sql);
});

function fileOf(text: string, name = "qos.yaml"): string {
  const path = join(folder, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
  return path;
}

const all = `
managed_by: storage-team
roles:
  quota_reader: {description: reads quotas, permissions: ["application:read", "quota:read"]}
clusters:
  fra-1:
    region: eu-central
    capacity: 100k/s
    quota: {operations: 20k/s, bandwidth: 2 GB/s}
    default_quota: {operations: 50/s}
default_alerts:
  - {when: qos_denied_share >= 20, severity: critical, for: 3 min}
tenants:
  acme:
    description: makes photographs
    default_alerts: false
    ceilings:
      fra-1: {operations: 1000/s, bandwidth: {limit: 100 MB/s, burst: 200 MB/s, capacity: 5 GB}}
    applications:
      photos:
        cluster: fra-1
        metadata: {team: media, tier: 1}
        quota:
          operations: {limit: 500/s, burst: 600/s, burst_for: 2 s, method: leaky_bucket}
          bandwidth: 20 MB/s
        reservation: {operations: 100/s, bandwidth: 5 MB/s, holds: 2 s}
        costs:
          read_large: {base: 2.5, per_unit: 1}
        alerts:
          - {when: qos_denied > 100, severity: critical, for: 90 s, notify: [log, {email: [a@b.example]}]}
`;

describe("a configuration", () => {
  test("makes all that it names, and nothing the second time", async () => {
    const file = fileOf(all);
    const first = await runInProcess("apply", "-f", file, "--reason", "first");
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout).toContain("created: 12, updated: 0, adopted: 0, pruned: 0");

    const second = await runInProcess("apply", "-f", file);
    expect(second).toEqual({ code: 0, stderr: "", stdout: "nothing differs\n" });
    expect(await runInProcess("diff", "-f", file)).toMatchObject({ code: 0 });
  });

  test("writes no row where nothing differs", async () => {
    const rows = await sql.begin(async (transaction) => {
      const written = async () => {
        const [row] = await transaction<{ rows: number }[]>`
          select sum(n_tup_ins + n_tup_upd + n_tup_del)::integer as rows
          from pg_stat_xact_user_tables
        `;
        return row?.rows ?? Number.NaN;
      };
      const applied = async (text: string) => {
        const before = await written();
        await applyConfiguration(transaction, configurationOf([{ file: "all", text }]), {
          reason: "again",
          prune: true,
          takeOver: false,
        });
        return (await written()) - before;
      };
      await transaction`
        select set_config('rate_limiter.user_id', rate_limiter_private.operator()::text, true)
      `;
      return [await applied(all), await applied(all.replace("makes", "sells"))];
    });
    expect(rows[0]).toBe(0);
    expect(rows[1]).toBeGreaterThan(0);
    await runInProcess("apply", "-f", fileOf(all));
  });

  test("is what export writes, but for what was left out", async () => {
    const { stdout } = await runInProcess("export", "--managed-by", "storage-team");
    const expected = parse(all);
    const { photos } = expected.tenants.acme.applications;
    const written = parse(stdout);
    expect(written.roles).toEqual(expected.roles);
    expect(written.default_alerts).toEqual(expected.default_alerts);
    expect(written.tenants.acme.default_alerts).toBe(false);
    expect(written.tenants.acme.applications.photos).toMatchObject({
      metadata: photos.metadata,
      reservation: photos.reservation,
      costs: photos.costs,
      quota: { operations: photos.quota.operations },
    });
    const again = await runInProcess("diff", "-f", fileOf(stdout, "exported.yaml"));
    expect(again).toMatchObject({ code: 0, stdout: "nothing differs\n" });
  });

  test("is audited as the administrator's, with the reason", async () => {
    const [version] = await sql`
      select change_reason, changed_by = rate_limiter_private.operator() as by_operator
      from rate_limiter_audit.quota_version_history
      order by changed_at limit 1
    `;
    expect(version).toEqual({ change_reason: "first", by_operator: true });
  });

  test("shows drift, and takes it back", async () => {
    await sql`update rate_limiter.tenants set description = 'changed by hand' where name = 'acme'`;
    const file = fileOf(all);
    const { code, stdout } = await runInProcess("diff", "-f", file);
    expect(code).toBe(3);
    expect(stdout).toBe(
      "~ tenant acme\n    description: changed by hand -> makes photographs\n" +
        "created: 0, updated: 1, adopted: 0, pruned: 0\n",
    );
    await runInProcess("apply", "-f", file);
    expect(await runInProcess("diff", "-f", file)).toMatchObject({ code: 0 });
  });

  test("leaves what it no longer names, and ends it when it prunes", async () => {
    await sql`
      insert into rate_limiter.tenants (name) values ('made by hand')
    `;
    const less = fileOf(
      all.replace(/ {8}reservation.*\n/, "").replace(/ {8}alerts:\n.*\n/, ""),
      "less.yaml",
    );
    expect(await runInProcess("apply", "-f", less)).toMatchObject({ stdout: "nothing differs\n" });
    const pruned = await runInProcess("apply", "-f", less, "--prune");
    expect(pruned.stdout).toBe(
      "- reservation acme/photos\n- alert acme/photos/qos_denied/>/critical\n" +
        "created: 0, updated: 0, adopted: 0, pruned: 2\n",
    );
    expect(await sql`select from rate_limiter.reservations`).toHaveLength(0);
    expect(
      await sql`select from rate_limiter.alert_configs where is_active and app_id is not null`,
    ).toHaveLength(0);
    const empty = fileOf("managed_by: storage-team\n", "empty.yaml");
    const refused = await runInProcess("apply", "-f", empty, "--prune");
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toMatch(/\(configuration_empty\)\nhint: .*--allow-empty/);
    const forced = await runInProcess("apply", "-f", empty, "--prune", "--allow-empty");
    expect(forced).toMatchObject({ code: 0 });
    const active = await sql`select name from rate_limiter.tenants where is_active order by name`;
    expect(active.map(({ name }) => name)).toEqual(["made by hand", "operators"]);
    expect(await runInProcess("apply", "-f", fileOf(all))).toMatchObject({ code: 0 });
  });

  test("keeps webhooks of an alert, whose secrets it does not hold", async () => {
    await sql`
      update rate_limiter.alert_configs
      set notification_config = '{"channel": "webhook", "url": "https://a.example/"}'
      where app_id is not null
    `;
    await runInProcess("apply", "-f", fileOf(all));
    const [alert] = await sql`
      select notification_config from rate_limiter.alert_configs where app_id is not null
    `;
    expect(
      alert?.notification_config.channels.map((each: { channel: string }) => each.channel),
    ).toEqual(["log", "email", "webhook"]);
  });

  test("does not touch what another one manages, unless it takes it over", async () => {
    const file = fileOf("managed_by: others\ntenants: {acme: {description: ours}}", "others.yaml");
    const refused = await runInProcess("apply", "-f", file);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain(
      `${file}:2:11: tenant acme: another configuration manages this (QS409), managed by: storage-team`,
    );
    const taken = await runInProcess("apply", "-f", file, "--take-over");
    expect(taken.stdout).toContain("updated: 1");
    expect(await runInProcess("apply", "-f", fileOf(all), "--take-over")).toMatchObject({
      code: 0,
    });
  });

  test("is refused in words of this product where the database itself refuses a value", async () => {
    const large = `{cluster: wordy-1, metadata: {note: "${"x".repeat(100_000)}"}}`;
    const long = `clusters: {wordy-1: {region: here}}
tenants: {wordy: {applications: {web: ${large}}}}`;
    const refused = await runInProcess("apply", "-f", fileOf(long, "wordy.yaml"));
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("application wordy/web: value is out of bounds (QS422)");
    expect(refused.stderr).not.toMatch(/23514|constraint|Failing row/);
  });

  test("is rehearsed by a dry run, which tells what is refused and leaves nothing", async () => {
    const file = fileOf("tenants: {rehearsed: {description: not to stay}}", "dry.yaml");
    const { code, stdout } = await runInProcess("apply", "-f", file, "--dry-run");
    expect(code).toBe(0);
    expect(stdout).toContain("+ tenant rehearsed");
    expect(stdout).toContain("nothing was changed");
    expect(await sql`select from rate_limiter.tenants where name = 'rehearsed'`).toHaveLength(0);

    const lost = "tenants: {rehearsed: {applications: {web: {cluster: not-there}}}}";
    const refused = await runInProcess("apply", "-f", fileOf(lost, "dry.yaml"), "--dry-run");
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("unknown cluster (QS404)");
  });

  test("moves shares under a ceiling from one application to another", async () => {
    const shares = (photos: number, videos: number) => `
managed_by: storage-team
tenants:
  shared:
    ceilings: {"*": {operations: 100/s}}
    applications:
      photos: {quota: {operations: ${photos}/s}}
      videos: {quota: {operations: ${videos}/s}}
`;
    expect(await runInProcess("apply", "-f", fileOf(shares(60, 40)))).toMatchObject({ code: 0 });
    expect(await runInProcess("apply", "-f", fileOf(shares(40, 60)))).toMatchObject({ code: 0 });
    expect(await runInProcess("apply", "-f", fileOf(shares(60, 40)))).toMatchObject({ code: 0 });
  });

  test("of a folder and of several files is one", async () => {
    fileOf("clusters: {two: {region: a}}", "folder/a.yaml");
    fileOf("tenants: {two: {applications: {x: {cluster: two}}}}", "folder/deeper/b.yml");
    const { stdout } = await runInProcess("apply", "-f", join(folder, "folder"));
    expect(stdout).toContain("created: 3");
  });

  const sizes = process.env.QOS_TEST_FULL ? [1, 1_000] : [1, 20];

  test("takes as many statements for many applications as for one", async () => {
    const counts = [];
    for (const [round, size] of sizes.entries()) {
      const names = Array.from({ length: size }, (_, number) => `app-${number}`);
      const apps = names.map((name) => `${name}: {quota: {operations: 100/s}}`);
      const text = `tenants: {many-${round}: {applications: {${apps.join()}}}}`;
      const { changes, statements } = await countedApply(text);
      expect(changes).toHaveLength(1 + 2 * size);
      counts.push(statements);
    }
    expect(counts).toEqual([4, 4]);
  });

  test("plans what it asks for each entry once", async () => {
    await sql`create extension if not exists pg_stat_statements`;
    const plansOf = async (size: number) => {
      const apps = Array.from(
        { length: size },
        (_, number) => `a-${number}: {quota: {operations: 9/s}}`,
      );
      return countedPlans(`tenants: {planned-${size}: {applications: {${apps.join()}}}}`);
    };
    const [few, many] = [await plansOf(10), await plansOf(30)];
    expect((many - few) / 20).toBeLessThan(6);
  });
});

/** How often the statements of an apply were planned, those of its functions too. */
async function countedPlans(text: string): Promise<number> {
  const counting = connect(database.url, { max: 1 });
  const plans = await counting.begin(async (transaction) => {
    const counted = async () => {
      const [row] = await transaction<{ plans: number }[]>`
        select coalesce(sum(s.plans), 0)::integer as plans
        from pg_stat_statements as s
        where s.dbid = (select d.oid from pg_database as d where d.datname = current_database())
      `;
      return row?.plans ?? Number.NaN;
    };
    await transaction`
      select
        set_config('pg_stat_statements.track', 'all', true),
        set_config('pg_stat_statements.track_planning', 'on', true)
    `;
    const before = await counted();
    await transaction`
      select set_config('rate_limiter.user_id', rate_limiter_private.operator()::text, true)
    `;
    await applyConfiguration(transaction, configurationOf([{ file: "planned", text }]), {
      reason: "planned",
      prune: false,
      takeOver: false,
    });
    return (await counted()) - before;
  });
  await counting.end();
  return plans;
}

async function countedApply(text: string) {
  let statements = 0;
  const counted = connect(database.url, { max: 1, debug: () => statements++ });
  const changes = await counted.begin(async (transaction) => {
    await transaction`
      select
        set_config('rate_limiter.user_id', rate_limiter_private.operator()::text, true),
        set_config('role', 'rate_limiter_visitor', true)
    `;
    return applyConfiguration(transaction, configurationOf([{ file: "many", text }]), {
      reason: "many",
      prune: false,
      takeOver: false,
    });
  });
  await counted.end();
  return { changes, statements };
}

describe("what is wrong", () => {
  test("is told with lines and columns, all at once, and nothing is applied", async () => {
    const file = fileOf(
      `tenants:
  wrong:
    colour: red
    applications:
      photos:
        quota: {operations: 100 MB/s, bandwidth: 0.5 B/s}
        alerts: [{when: much, severity: loud}]
      videos:
        existing: true
        cluster: fra-1
`,
      "wrong.yaml",
    );
    const { code, stdout, stderr } = await runInProcess("apply", "-f", file);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    const told = stderr.split("\n").filter((line) => line.startsWith(file));
    expect(told.map((line) => line.trim().replace(`${file}:`, "")).sort()).toEqual([
      "10:9: unknown key cluster: known are existing, quota, reservation, costs, alerts",
      "3:5: unknown key colour: known are description, default_alerts, active, ceilings, applications",
      "6:29: operations is not a rate such as 500/s, of at most 2147483647/s",
      "7:18: the key for is missing",
      "7:25: when is not a metric, a comparison and a number, such as qos_denied > 100",
      "7:41: severity is not one of info, warning, critical",
    ]);
    expect(await sql`select from rate_limiter.tenants where name = 'wrong'`).toHaveLength(0);
  });

  test("is YAML that is none, or that grows beyond all bounds", async () => {
    const broken = await runInProcess("apply", "-f", fileOf("tenants: [", "broken.yaml"));
    expect(broken.stderr).toMatch(/broken\.yaml:1:11: .*\(BAD_COLLECTION_TYPE|MISSING_CHAR|.*\)/);
    const level = (name: string, of: string) => `${name}: &${name} [${Array(9).fill(`*${of}`)}]\n`;
    const names = ["b", "c", "d", "e"].map((name, place) => level(name, "abcd"[place] ?? ""));
    const bomb = fileOf(`a: &a [1,1,1,1,1,1,1,1,1]\n${names.join("")}`, "bomb.yaml");
    expect((await runInProcess("apply", "-f", bomb)).stderr).toMatch(/bomb\.yaml:1:1: .*alias/);
  });

  test("is a name that is there twice, in one file or in two", async () => {
    const once = fileOf("tenants:\n  twice: {}\n", "once.yaml");
    const again = fileOf(
      "tenants:\n  twice: {}\n  twice: {}\n  # Both are told.\n  other: {colour: red}\n",
      "again.yaml",
    );
    const { stderr } = await runInProcess("apply", "-f", again);
    expect(stderr).toContain(`${again}:3:3: twice is there twice: before at line 2`);
    expect(stderr).toContain(`${again}:5:11: unknown key colour`);
    const two = fileOf("tenants:\n\n  twice: {}\n", "two.yaml");
    expect((await runInProcess("apply", "-f", once, two)).stderr).toContain(
      `${two}:3:3: tenant twice is declared twice: before at ${once}:2:3`,
    );
  });

  test("is something else than an object, which is told once", async () => {
    const file = fileOf("tenants: {t: []}", "list.yaml");
    const { stderr } = await runInProcess("apply", "-f", file);
    expect(stderr).toContain("the configuration has 1 problem:");
    expect(stderr).toContain(`${file}:1:14: t is not an object`);
  });

  test("is half a byte", async () => {
    const file = fileOf(
      "tenants: {t: {applications: {a: {quota: {bandwidth: 0.5 B/s}}}}}",
      "half.yaml",
    );
    expect((await runInProcess("apply", "-f", file)).stderr).toContain(
      "limit is not a rate such as 100 MB/s or 1 GiB/s (not a whole amount)",
    );
  });

  test("for the database is told likewise: a quota above its ceiling, an unknown name", async () => {
    const file = fileOf(
      `tenants:
  low:
    ceilings: {"*": {operations: 100/s}}
    applications:
      fits: {quota: {operations: 90/s}}
      too-much: {quota: {operations: 200/s}}
      lost: {cluster: nowhere, quota: {operations: 1/s}}
      priced: {costs: {dance: {base: 1}}}
`,
      "low.yaml",
    );
    const { code, stderr } = await runInProcess("apply", "-f", file);
    expect(code).toBe(2);
    const told = stderr.split("\n").filter((line) => line.startsWith(file));
    expect(told.map((line) => line.trim().replace(`${file}:`, "").split(",")[0])).toEqual([
      "7:7: application low/lost: unknown cluster (QS404)",
      "6:18: quota low/too-much: tenant ceiling is exceeded (QS403)",
      "8:24: cost rule low/priced/dance: unknown operation (QS404)",
    ]);
    expect(await sql`select from rate_limiter.tenants where name = 'low'`).toHaveLength(0);
  });

  test("is limits that do not fit, with what is wrong, and what no database can hold", async () => {
    const refused = async (quota: string) => {
      const text = `tenants: {odd: {applications: {a: {quota: ${quota}}}}}`;
      return (await runInProcess("apply", "-f", fileOf(text, "odd.yaml"))).stderr.split("\n")[0];
    };
    expect(await refused("{operations: 0/s}")).toMatch(
      /:1:36: quota odd\/a: quota limits do not fit \(QS422\), Mend this: iops_limit is below one\.$/,
    );
    expect(await refused("{operations: {limit: 9/s, burst: 8/s}}")).toContain(
      "iops_burst is below iops_limit",
    );
    expect(await refused("{operations: 3G/s}")).toContain("operations is not a rate such as 500/s");
    expect(await refused("{operations: 3000M/s}")).toContain("of at most 2147483647/s");
    expect(await refused("{operations: {limit: 1/s, burst_for: 100000d}}")).toMatch(
      /:1:\d+: burst_for/,
    );
  });

  test("is a quota that a temporary one is in the way of", async () => {
    const file = fileOf(
      "managed_by: storage-team\ntenants: {shared: {existing: true, applications: {photos: {quota: {operations: 30/s}}}}}",
      "boost.yaml",
    );
    await sql.begin(async (transaction) => {
      await transaction`
        select set_config('rate_limiter.user_id', rate_limiter_private.operator()::text, true)
      `;
      await transaction`
        select from rate_limiter_admin.publish_quota(
          'boost',
          (
            select a.app_id from rate_limiter.applications as a
            join rate_limiter.tenants as t on t.tenant_id = a.tenant_id and t.name = 'shared'
            where a.name = 'photos'
          ),
          iops => row(50, 50, 5, 50, 'token_bucket', 0)::rate_limiter_admin.iops_limits,
          valid_to => now() + interval '1 hour'
        )
      `;
    });
    expect((await runInProcess("apply", "-f", file)).stderr).toContain(
      "another quota starts in this time (QS409)",
    );
  });
});

describe("who applies", () => {
  test("is named where there are several administrators", async () => {
    await createAdministrator(sql, {
      tenant: "operators",
      username: "two",
      email: "two@example.org",
    });
    const file = fileOf(all);
    const unnamed = await runInProcess("diff", "-f", file);
    expect(unnamed).toMatchObject({ code: 2 });
    expect(unnamed.stderr).toContain("several administrators could be meant (QS422)");
    expect(await runInProcess("diff", "-f", file, "--as", "two@example.org")).toMatchObject({
      code: 0,
    });
    const unknown = await runInProcess("diff", "-f", file, "--as", "three@example.org");
    expect(unknown.stderr).toContain("unknown user (QS404)");
  });
});
