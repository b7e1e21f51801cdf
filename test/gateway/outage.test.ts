import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { addQuota, type ClientWorld, makeWorld } from "../client/world.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { counter, type GatewayWorld, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("the gateway, while its database is away", async () => {
  const database = await createDatabase();
  const soon = { QOS_DATABASE_TIMEOUT_MS: "500" };
  const start = (environment: Record<string, string>, edit?: (text: string) => string) =>
    missing === undefined
      ? startGateway(database, { ...soon, ...environment }, edit === undefined ? {} : { edit })
      : (undefined as never);
  const closed = await start({ QOS_OUTAGE_POLICY: "closed", QOS_SPEAK_S3: "on" });
  const open = await start({ QOS_OUTAGE_POLICY: "open", QOS_OUTAGE_MAX_MS: "2500" });
  const fair = await start({ QOS_OUTAGE_POLICY: "fair_share" });
  /** To which no answer comes too late. */
  const patient = await start({
    QOS_OUTAGE_POLICY: "open",
    QOS_DATABASE_TIMEOUT_MS: "30000",
    QOS_DATABASE_STATEMENT_TIMEOUT_MS: "30000",
  });
  let world: ClientWorld;

  beforeEach(async () => {
    world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 20, burst: 20 } });
  });

  const head = ({ nginx }: GatewayWorld, key = world.apiKey) =>
    fetch(`${nginx.url}/b/o`, { method: "HEAD", headers: { "X-API-Key": key } });

  /** Cuts the link, and spends what is in hand until the outage is noticed. */
  async function fallIntoOutage(gateway: GatewayWorld): Promise<void> {
    gateway.link.cut();
    await vi.waitFor(
      async () => {
        await head(gateway);
        const response = await fetch(`${gateway.nginx.adminUrl}/healthz`);
        expect(await response.json()).toEqual({ status: "ok", database: "down" });
      },
      { timeout: 30_000, interval: 5 },
    );
    // More than a bucket holds: nothing is in hand any more.
    for (let i = 0; i < 25; i += 1) await head(gateway);
  }

  /** Waits until the database has answered for this key, however slow the machine is. */
  async function holdLease(gateway: GatewayWorld): Promise<void> {
    await eventually(async () => {
      expect((await head(gateway)).status).toBe(200);
      expect(await counter(gateway.nginx, /^qos_database_up/)).toBe(1);
      const leases = await database.sql`
        select from rate_limiter.token_leases where app_id = ${world.appId}
      `;
      expect(leases.length).toBeGreaterThan(0);
    });
  }

  async function recover(gateway: GatewayWorld): Promise<void> {
    gateway.link.mend();
    await eventually(async () => {
      await head(gateway);
      expect(await counter(gateway.nginx, /^qos_database_up/)).toBe(1);
    });
  }

  test("what is in hand is spent first", async () => {
    await holdLease(closed);
    closed.link.cut();
    expect((await head(closed)).status).toBe(200);
    closed.link.mend();
  });

  test("closed: no request may, it says when to come back, and in S3's words", async () => {
    await holdLease(closed);
    await fallIntoOutage(closed);
    const { nginx } = closed;
    const denied = await fetch(`${nginx.url}/b/o`, { headers: { "X-API-Key": world.apiKey } });
    expect(denied.status).toBe(503);
    expect(Number(denied.headers.get("Retry-After"))).toBeGreaterThan(0);
    expect(await denied.text()).toContain("<Code>SlowDown</Code>");
    await recover(closed);
    await eventually(async () => expect((await head(closed)).status).toBe(200));
    // Each worker counts by itself, and adds up once a second.
    await vi.waitFor(async () => {
      const told = nginx.log().match(/database does not answer/g) ?? [];
      expect(told.length).toBeGreaterThan(0);
      expect(await counter(nginx, /^qos_outages_total/)).toBe(told.length);
    }, 30_000);
    expect(nginx.log()).toContain("the database answers again");
  });

  test("open: each request may, uncharged, also with a key that was never seen; then none", async () => {
    await holdLease(open);
    await fallIntoOutage(open);
    const statuses = [];
    for (let i = 0; i < 40; i += 1) statuses.push((await head(open)).status);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect((await head(open, "qos_never_seen")).status).toBe(200);
    expect(await counter(open.nginx, /^qos_uncharged_total/)).toBeGreaterThan(0);
    await eventually(async () => expect((await head(open)).status).toBe(503));
    await recover(open);
  });

  test("fair_share: at the rate of the quota", async () => {
    await holdLease(fair);
    await fallIntoOutage(fair);
    const since = performance.now();
    let admitted = 0;
    while (performance.now() - since < 1_500) {
      if ((await head(fair)).status === 200) admitted += 1;
      await sleep(5);
    }
    const seconds = (performance.now() - since) / 1_000;
    expect(admitted).toBeGreaterThanOrEqual(Math.floor(seconds * 20 * 0.9) - 1);
    expect(admitted).toBeLessThanOrEqual(seconds * 20 + 2);
    await recover(fair);
  });

  test("fair_share: what was not asked for is spent later, as far as the bucket would hold it", async () => {
    world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 20, burst: 100 } });
    await holdLease(fair);
    await fallIntoOutage(fair);
    for (let i = 0; i < 100; i += 1) await head(fair);
    const since = performance.now();
    await sleep(3_000);
    const quiet = (performance.now() - since) / 1_000;
    let admitted = 0;
    for (let i = 0; i < 110; i += 1) {
      if ((await head(fair)).status === 200) admitted += 1;
    }
    const seconds = (performance.now() - since) / 1_000;
    expect(admitted).toBeGreaterThanOrEqual(Math.floor(Math.min(quiet, 5) * 20 * 0.9) - 1);
    expect(admitted).toBeLessThanOrEqual(seconds * 20 + 2);
    await recover(fair);
  });

  test("fair_share: what is denied for its bytes costs no token", async () => {
    world = await makeWorld(database);
    // An upload of 64 KiB takes a minute's bytes and a second's tokens.
    await addQuota(database, world, { iops: { limit: 4, burst: 5 }, bytesPerSecond: 1_000 });
    const put = () =>
      fetch(`${fair.nginx.url}/b/o`, {
        method: "PUT",
        headers: { "X-API-Key": world.apiKey },
        body: Buffer.alloc(65_536),
      });
    await holdLease(fair);
    await fallIntoOutage(fair);
    await eventually(async () => expect((await put()).status).toBe(200));
    await sleep(2_500);
    for (let i = 0; i < 5; i += 1) expect((await put()).status).toBe(503);
    expect((await head(fair)).status).toBe(200);
    await recover(fair);
  });

  test("a database that refuses the gateway's own statements is an outage, and no 500", async () => {
    await database.sql`
      revoke execute on function rate_limiter.application_of_key(text) from rate_limiter_app
    `;
    const denied = await head(fair, "qos_unseen");
    await database.sql`
      grant execute on function rate_limiter.application_of_key(text) to rate_limiter_app
    `;
    expect(denied.status).toBe(503);
    await recover(fair);
  });

  describe("while it is ill itself", async () => {
    const withoutMemory = (text: string) => text.replace("lua_shared_dict qos_leases 16m;", "");
    const illOpen = await start({ QOS_OUTAGE_POLICY: "open" }, withoutMemory);
    const illFair = await start({ QOS_OUTAGE_POLICY: "fair_share" }, withoutMemory);
    const illClosed = await start({ QOS_OUTAGE_POLICY: "closed" }, withoutMemory);

    test.each([
      ["open", illOpen, 200],
      ["fair_share", illFair, 503],
      ["closed", illClosed, 503],
    ])("%s: the outage policy decides, and it does not answer 500", async (_, gateway, status) => {
      expect((await head(gateway)).status).toBe(status);
      await vi.waitFor(
        async () => expect(await counter(gateway.nginx, /^qos_errors_total/)).toBeGreaterThan(0),
        30_000,
      );
    });
  });

  describe("what is an outage", () => {
    /** Charges of an application fail with an error, until it is mended. */
    async function failWith(code: string, appId: string | null) {
      await database.sql.unsafe(`
        create table if not exists failing (code text, app_id uuid);
        grant all on failing to public;
        create or replace function fail_if_told() returns trigger language plpgsql
        security definer set search_path = public as $$
        declare failure failing;
        begin
          select * into failure from failing where app_id is null or app_id = new.owner_id;
          if found then
            raise exception 'told to fail' using errcode = failure.code;
          end if;
          return new;
        end;
        $$;
        create or replace trigger fail_if_told before insert on rate_limiter.token_transactions
        for each row execute function fail_if_told();
      `);
      await database.sql`insert into failing values (${code}, ${appId})`;
      return () => database.sql`delete from failing`;
    }

    const outages = () => counter(open.nginx, /^qos_outages_total/);

    let asked = 0;
    const ask = ({ apiKey }: ClientWorld) => {
      asked += 1;
      return head(patient, apiKey);
    };

    test.each(["22012", "55P03", "57014", "23514"])(
      "an error of one application is none: %s stops that application alone",
      async (code) => {
        const [ill, well] = [await makeWorld(database), await makeWorld(database)];
        for (const other of [ill, well]) await addQuota(database, other, { iops: { limit: 500 } });
        const mend = await failWith(code, ill.appId);
        const counts = async () => ({
          outages: await counter(patient.nginx, /^qos_outages_total/),
          uncharged: await counter(patient.nginx, /^qos_uncharged_total/),
        });
        const requests = () => counter(patient.nginx, /^qos_requests_total/);
        try {
          expect((await ask(ill)).status).toBe(503);
          for (let i = 0; i < 20; i += 1) {
            expect((await ask(well)).status).toBe(200);
          }
          // Workers tell their counts once a second.
          await eventually(async () => expect(await requests()).toBe(asked));
          expect(await counts()).toEqual({ outages: 0, uncharged: 0 });
        } finally {
          await mend();
        }
        await eventually(async () => {
          expect((await ask(ill)).status).toBe(200);
        });
      },
    );

    test.each(["25006", "53100", "57P03", "08006"])(
      "a server that cannot charge is one: %s, and reads do not end it",
      async (code) => {
        const worlds = [await makeWorld(database), await makeWorld(database)];
        for (const other of worlds) await addQuota(database, other, { iops: { limit: 500 } });
        const [first, second] = worlds as [ClientWorld, ClientWorld];
        const mend = await failWith(code, null);
        try {
          const before = await outages();
          expect((await head(open, first.apiKey)).status).toBe(200);
          await eventually(async () => expect(await outages()).toBeGreaterThan(before));
          // Its key is read, and that is not a charge.
          await eventually(async () => expect((await head(open, second.apiKey)).status).toBe(200));
          // Longer than QOS_OUTAGE_MAX_MS.
          await eventually(async () => {
            expect((await head(open, second.apiKey)).status).toBe(503);
            expect((await head(open, first.apiKey)).status).toBe(503);
          });
        } finally {
          await mend();
        }
        await recover(open);
        await eventually(async () => expect((await head(open, first.apiKey)).status).toBe(200));
      },
    );
  });

  test.each([
    ["a deadlock", "40P01"],
    ["a connection to a read-only server", "25006"],
    ["a connection that the server closes", "57P01"],
    ["a plan of before a migration", "42703"],
  ])("%s is not an outage: the call is made again", async (_, code) => {
    await database.sql.unsafe(`
      drop sequence if exists failures;
      create sequence failures;
      create or replace function fail_twice() returns trigger
      language plpgsql security definer as $$
      begin
        if nextval('public.failures') <= 2 then
          raise exception 'told to fail' using errcode = '${code}';
        end if;
        return new;
      end;
      $$;
      create or replace trigger fail_twice before insert on rate_limiter.token_leases
      for each row execute function fail_twice();
    `);
    const outages = () => counter(open.nginx, /^qos_outages_total/);
    const before = await outages();
    await holdLease(open);
    expect(await outages()).toBe(before);
    const [row] = await database.sql`select last_value as calls from failures`;
    expect(Number(row?.calls)).toBeGreaterThan(2);
    await database.sql`drop trigger fail_twice on rate_limiter.token_leases`;
  });
});
