import { describe, expect, onTestFinished, test } from "vitest";
import { eventually } from "../harness/index.ts";
import { openSocket, subscribe } from "./graphql-socket.ts";
import { serveTwoTenants, type TenantWorld } from "./world.ts";

const { database, api, mine, theirs } = await serveTwoTenants();

const status = `subscription ($appId: UUID!) {
  applicationStatus(appId: $appId) {
    at
    application { name buckets(first: 10) { nodes { bucketType currentTokens status } } }
  }
}`;
const alerts = "subscription { alertChanged { status actualValue application { name } } }";

async function follow(query: string, email: string, variables = {}) {
  const { accessToken } = await api.signIn(email);
  const subscription = await subscribe(api.url, query, variables, accessToken);
  onTestFinished(() => subscription.close());
  return { ...subscription, accessToken };
}

async function trigger({ appId, alertId }: TenantWorld, value: number) {
  await database.sql`
    insert into rate_limiter.alert_history (alert_id, app_id, actual_value, threshold_value)
    values (${alertId}, ${appId}, ${value}, 1)
  `;
}

/** Until the server listens, a notification reaches nothing. */
async function untilHeard(channels: number) {
  await expect
    .poll(() => listens(), { timeout: 30_000 })
    .toBeGreaterThanOrEqual(listensBefore + channels);
  listensBefore = await listens();
}

let listensBefore = 0;

/** How often sessions of this database began to listen. */
async function listens(): Promise<number> {
  const [row] = await database.sql`
    select coalesce(sum(s.calls), 0)::integer as calls
    from pg_stat_statements as s
    join pg_database as d on d.oid = s.dbid
    where d.datname = current_database() and s.query ~* '^listen'
  `;
  return row?.calls;
}

describe("applicationsStatus", () => {
  const many = `subscription ($appIds: [UUID!]!) {
    applicationsStatus(appIds: $appIds) {
      at
      applications { appId buckets(first: 8) { nodes { bucketType currentTokens } } }
    }
  }`;

  test("follows many applications by one subscription, those of the viewer's tenant", async () => {
    const unknown = "00000000-0000-4000-8000-000000000000";
    const appIds = [theirs.appId, mine.appId, unknown];
    const live = await follow(many, "app_viewer@mine.example", { appIds });
    for (let look = 1; look <= 2; look++) {
      const { applications } = (await live.next()).data.applicationsStatus;
      expect(
        applications.map((application: { appId: string } | null) => application?.appId),
      ).toEqual([undefined, mine.appId, undefined]);
      expect(applications[1].buckets.nodes.length).toBeGreaterThan(0);
    }
  });

  test("costs what its applications cost", async () => {
    const appIds = Array.from({ length: 501 }, () => mine.appId);
    const live = await follow(many, "app_viewer@mine.example", { appIds });
    expect(await live.next()).toMatchObject({ errors: [{ message: "page is too large" }] });
    const wide = await follow(many, "app_viewer@mine.example", { appIds: appIds.slice(1) });
    expect((await wide.next()).data.applicationsStatus.applications.length).toBe(500);
  });
});

describe("applicationStatus", () => {
  test("shows the buckets as they are now, again and again", async () => {
    const live = await follow(status, "app_viewer@mine.example", { appId: mine.appId });
    const first = (await live.next()).data.applicationStatus;
    expect(first.application.name).toBe("application of mine");
    expect(first.application.buckets.nodes).toContainEqual({
      ...{ bucketType: "IOPS_L2", currentTokens: "1000.000000", status: "HEALTHY" },
    });
    await database.as("rate_limiter_app")`
      select rate_limiter.consume(${mine.appId}, 'read_small', 0) from generate_series(1, 900)
    `;
    const [charged] = await database.sql`select clock_timestamp() as at`;
    let second = first;
    // Some may have been on their way meanwhile.
    while (new Date(second.at) <= new Date(charged?.at)) {
      second = (await live.next()).data.applicationStatus;
    }
    expect(Date.parse(second.at)).toBeGreaterThan(Date.parse(first.at));
    const iops = second.application.buckets.nodes.find(
      (bucket: { bucketType: string }) => bucket.bucketType === "IOPS_L2",
    );
    expect(Number(iops.currentTokens)).toBeLessThan(1000);
  });

  test("shows nothing of another tenant's application", async () => {
    const live = await follow(status, "system_admin@mine.example", { appId: theirs.appId });
    expect((await live.next()).data.applicationStatus.application.name).toBe(
      "application of theirs",
    );
    const spy = await follow(status, "tenant_admin@mine.example", { appId: theirs.appId });
    expect((await spy.next()).data.applicationStatus.application).toBeNull();
  });

  test("ends with the session", async () => {
    const live = await follow(status, "ops_admin@mine.example", { appId: mine.appId });
    await live.next();
    await api.bearing(live.accessToken).ask("mutation { logout(input: {}) { isEnded } }");
    // One more may have been on its way.
    const ended = (await live.next()) === undefined || (await live.next()) === undefined;
    expect(ended).toBe(true);
  });
});

describe("alertChanged", () => {
  test("ends with the role that let its user hear of others' alerts", async () => {
    const email = "ops_admin@mine.example";
    await database.sql`
      insert into rate_limiter.user_roles (user_id, role_id)
      select u.user_id, r.role_id
      from rate_limiter.users as u, rate_limiter.roles as r
      where u.email = ${email} and r.name = 'system_admin'
    `;
    const live = await follow(alerts, email);
    await untilHeard(1);
    await trigger(theirs, 55);
    expect((await live.next()).data.alertChanged.actualValue).toBe(55);
    await database.sql`
      update rate_limiter.user_roles as ur set expires_at = now()
      from rate_limiter.users as u, rate_limiter.roles as r
      where u.user_id = ur.user_id and u.email = ${email}
        and r.role_id = ur.role_id and r.name = 'system_admin'
    `;
    await trigger(theirs, 66);
    expect(await live.next()).toBeUndefined();
  });

  test("tells each tenant of its own alerts, and system administrators of all", async () => {
    const ours = await follow(alerts, "ops_admin@mine.example");
    const everyones = await follow(alerts, "system_admin@theirs.example");
    await untilHeard(2);
    await trigger(theirs, 77);
    await trigger(mine, 88);
    expect((await ours.next()).data.alertChanged).toEqual({
      ...{ status: "TRIGGERED", actualValue: 88, application: { name: "application of mine" } },
    });
    const seen = [await everyones.next(), await everyones.next()];
    expect(seen.map(({ data }) => data.alertChanged.actualValue)).toEqual([77, 88]);
  });
});

describe("notifications that are made up", () => {
  const forge = (payload: string) =>
    database.as("rate_limiter_app")`
      select pg_notify('rate_limiter_alerts_' || ${mine.tenantId}::text, ${payload})
    `;
  const at = "2026-11-30T00:00:00.000000+00:00";

  /** Triggers alerts until one is heard, and answers it. */
  async function untilOneIsHeard(live: Awaited<ReturnType<typeof follow>>, value: number) {
    let isHeard = false;
    const heard = live.next().then((message) => {
      isHeard = true;
      return message;
    });
    await eventually(async () => {
      await trigger(mine, value);
      expect(isHeard).toBe(true);
    });
    return heard;
  }

  test("reach no subscriber, and keep the next alert from none", async () => {
    const live = await follow(alerts, "ops_admin@mine.example");
    await untilOneIsHeard(live, 1);
    const history_id = crypto.randomUUID();
    const malformed = ["", "null", "{", "[]", "5", JSON.stringify({ history_id: "x" })];
    const moments = ["infinity", "2026-02-31T00:00:00Z", "0000-01-01T00:00:00+00:00", "now"];
    const wrong = [at, "2026-11-30T00:00:00+15:59", ...moments].map((triggered_at) =>
      JSON.stringify({ history_id, triggered_at }),
    );
    for (const payload of [...malformed, ...wrong]) await forge(payload);
    await trigger(mine, 99);
    const heard: number[] = [];
    while (!heard.includes(99)) heard.push((await live.next()).data.alertChanged.actualValue);
    expect(new Set(heard)).toEqual(new Set(heard.length > 1 ? [1, 99] : [99]));
  });

  test("ask the database few questions, however many they are", async () => {
    const live = await follow(alerts, "ops_admin@mine.example");
    await untilOneIsHeard(live, 2);
    const asked = async () => {
      const [row] = await database.sql`
        select coalesce(sum(s.calls), 0)::integer as calls
        from pg_stat_statements as s
        join pg_database as d on d.oid = s.dbid
        where d.datname = current_database() and s.query like '%alert_channel() as channel%'
      `;
      return row?.calls;
    };
    const before = await asked();
    await database.as("rate_limiter_app")`
      select pg_notify(
        'rate_limiter_alerts_' || ${mine.tenantId}::text,
        json_build_object('history_id', gen_random_uuid(), 'triggered_at', ${at}::text)::text
      )
      from generate_series(1, 5_000)
    `;
    await untilOneIsHeard(live, 3);
    expect((await asked()) - before).toBeLessThan(100);
  });
});

test.each([
  ["nobody", undefined],
  ["a token that proves nothing", "made.up.token"],
])("%s follows nothing", async (_, token) => {
  for (const query of [alerts, status]) {
    const variables = query === alerts ? {} : { appId: mine.appId };
    const subscription = await subscribe(api.url, query, variables, token);
    const { errors } = await subscription.next();
    expect(errors[0]).toMatchObject({ message: "not signed in", extensions: { code: "QS401" } });
    subscription.close();
  }
});

test("nothing is followed over HTTP, where no limit of sockets holds", async () => {
  const { ask } = await api.signIn("ops_admin@mine.example");
  const named = `query a { viewer { email } } ${status.replace("subscription", "subscription b")}`;
  for (const query of [alerts, status]) {
    expect((await ask(query, { appId: mine.appId })).errors?.[0]).toMatchObject({
      ...{ message: "subscription needs a WebSocket", extensions: { code: "QS400" } },
    });
  }
  const response = await api.nobody.fetch("/graphql", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: named, operationName: "b", variables: { appId: mine.appId } }),
  });
  expect(response.status).toBe(400);
});

test("a user follows no more than fifty things at once", async () => {
  const { accessToken } = await api.signIn("ops_admin@mine.example");
  const socket = await openSocket(api.url, accessToken);
  onTestFinished(() => socket.close());
  const refused: unknown[] = [];
  const following = new Set<string>();
  socket.onmessage = ({ data }) => {
    const { type, id, payload } = JSON.parse(data);
    if (type === "next") following.add(id);
    if (type === "error") refused.push(payload);
  };
  const followAnother = (id: number) => {
    const query = `subscription { applicationStatus(appId: "${mine.appId}") { at } }`;
    socket.send(JSON.stringify({ id: `${id}`, type: "subscribe", payload: { query } }));
  };
  for (let id = 0; id < 50; id++) followAnother(id);
  await eventually(() => expect(following.size).toBe(50));
  followAnother(50);
  await eventually(() =>
    expect(refused).toMatchObject([
      [{ message: "too many subscriptions", extensions: { code: "QS429" } }],
    ]),
  );
});

test("a socket that sends more than subscriptions take is closed", async () => {
  const socket = new WebSocket(new URL("/graphql", api.url.replace("http", "ws")), [
    "graphql-transport-ws",
  ]);
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  const closed = new Promise((resolve) => {
    socket.onclose = resolve;
  });
  socket.send("x".repeat(5_000_000));
  await closed;
});
