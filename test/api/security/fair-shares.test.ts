import { describe, expect, onTestFinished, test } from "vitest";
import { turns } from "../../../src/api/fairness/turns.ts";
import { eventually } from "../../harness/index.ts";
import { openSocket, subscribe } from "../graphql-socket.ts";
import { serveTwoTenants } from "../world.ts";

const { database, api, as, mine } = await serveTwoTenants({
  API_SOCKET_SIGN_IN_MS: "3000",
  API_MAX_SOCKETS_OF_ADDRESS: "5",
  API_MAX_SOCKETS_OF_USER: "3",
  API_MAX_SUBSCRIPTIONS_OF_USER: "4",
  API_MAX_REQUESTS_OF_USER: "1",
});

describe("turns", () => {
  const limits = {
    ...{ running: 3, runningOfTenant: 2, runningOfUser: 1 },
    ...{ waiting: 100, waitingOfUser: 2 },
  };
  const a1 = { user: "a1", tenant: "a" };
  const a2 = { user: "a2", tenant: "a" };
  const a3 = { user: "a3", tenant: "a" };
  const b1 = { user: "b1", tenant: "b" };

  test("leave room for other tenants, however much one asks for", async () => {
    const shared = turns(limits);
    const order: string[] = [];
    const take = (party: typeof a1) =>
      shared.take(party).then((giveBack) => {
        order.push(party.user);
        return giveBack;
      });
    const first = await take(a1);
    await take(a2);
    const waiting = [take(a1), take(a3)];
    await take(b1);
    expect(order).toEqual(["a1", "a2", "b1"]);
    first();
    (await Promise.race(waiting))();
    await Promise.all(waiting);
    expect(order.slice(3).sort()).toEqual(["a1", "a3"]);
  });

  test("refuse what a user has waiting beyond the limit, and nothing of others", async () => {
    const shared = turns(limits);
    await shared.take(a1);
    for (const _ of [1, 2]) shared.take(a1).catch(() => {});
    await expect(shared.take(a1)).rejects.toMatchObject({ code: "QS429" });
    await shared.take(b1);
  });

  test("are given back once, however often it is said", async () => {
    const shared = turns(limits);
    const giveBack = await shared.take(a1);
    giveBack();
    giveBack();
    await shared.take(a1);
    let isTaken = false;
    shared.take(a1).then(
      () => {
        isTaken = true;
      },
      () => {},
    );
    await shared.take(b1);
    expect(isTaken).toBe(false);
  });
});

describe("sockets", () => {
  const status = `subscription { applicationStatus(appId: "${mine.appId}") { at } }`;
  const rawSocket = () =>
    new Promise<{ closed: Promise<unknown>; socket: WebSocket }>((resolve) => {
      const socket = new WebSocket(new URL("/graphql", api.url.replace("http", "ws")), [
        "graphql-transport-ws",
      ]);
      const closed = new Promise((done) => {
        socket.onclose = done;
      });
      socket.onerror = () => resolve({ closed, socket });
      socket.onopen = () => resolve({ closed, socket });
    });

  test("that do not sign in are closed, and a few of an address are admitted", async () => {
    const opened = await Promise.all(Array.from({ length: 8 }, rawSocket));
    const refused = opened.filter(({ socket }) => socket.readyState !== WebSocket.OPEN);
    expect(refused.length).toBe(3);
    await Promise.all(opened.map(({ closed }) => closed));
    const { accessToken } = await api.signIn("app_viewer@mine.example");
    const live = await subscribe(api.url, status, {}, accessToken);
    onTestFinished(() => live.close());
    expect((await live.next()).data.applicationStatus.at).toBeDefined();
  });

  test("follow no more than the limit of their user, over all of them", async () => {
    const { accessToken } = await api.signIn("ops_admin@mine.example");
    const messages: string[] = [];
    for (const socketNumber of [1, 2]) {
      const socket = await openSocket(api.url, accessToken);
      onTestFinished(() => socket.close());
      socket.onmessage = ({ data }) => messages.push(data);
      for (let n = 1; n <= 3; n += 1) {
        const payload = { query: status };
        socket.send(JSON.stringify({ id: `${socketNumber}.${n}`, type: "subscribe", payload }));
      }
    }
    await eventually(() => {
      const refused = messages.filter((message) => message.includes("QS429"));
      expect(refused.length).toBeGreaterThan(0);
    });
    const followed = new Set(
      messages.filter((m) => m.includes('"next"')).map((m) => JSON.parse(m).id),
    );
    expect(followed.size).toBeLessThanOrEqual(4);
  });

  test("answer no queries: those take turns", async () => {
    const { accessToken } = await api.signIn("auditor@mine.example");
    const asked = await subscribe(api.url, "{ viewer { email } }", {}, accessToken);
    onTestFinished(() => asked.close());
    expect((await asked.next()).errors[0]).toMatchObject({
      message: "socket answers subscriptions only",
      extensions: { code: "QS400" },
    });
  });

  test("take Authorization in any case", async () => {
    const { accessToken } = await api.signIn("auditor@mine.example");
    const socket = await openSocket(api.url, accessToken, "Authorization");
    onTestFinished(() => socket.close());
    const answered = new Promise<string>((resolve) => {
      socket.onmessage = ({ data }) => resolve(data);
    });
    socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query: status } }));
    expect(await answered).toMatch(/"next"/);
  });
});

describe("introspection", () => {
  test("is priced: members of members are refused", async () => {
    const query =
      "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    const { errors } = await as.auditor.ask(query);
    expect(errors?.[0]?.extensions.code).toBe("QS400");
  });

  test("is answered once, and not under many names", async () => {
    const list = (alias: string) =>
      `${alias}: __schema { types { fields { name args { name type { name } } type { name } } } }`;
    const many = Array.from({ length: 40 }, (_, n) => list(`a${n}`)).join(" ");
    expect((await as.auditor.ask(`{ ${list("one")} }`)).errors).toBeUndefined();
    expect((await as.auditor.ask(`{ ${many} }`)).errors?.[0]?.extensions.code).toBe("QS400");
  });
});

test("a statement ends when its client goes", async () => {
  const { accessToken } = await api.signIn("tenant_admin@mine.example");
  const admin = await database.session("holder");
  await admin.sql`begin`;
  await admin.sql`select from rate_limiter.tenants where tenant_id = ${mine.tenantId} for update`;
  const leaving = new AbortController();
  const asked = fetch(new URL("/graphql", api.url), {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${accessToken}` },
    body: JSON.stringify({
      query: `mutation { updateTenant(input: { tenantId: "${mine.tenantId}",
        patch: { description: "d" } }) { clientMutationId } }`,
    }),
    signal: leaving.signal,
  }).catch(() => "gone");
  const waiting = () => database.sql`
    select from pg_stat_activity
    where datname = current_database() and application_name = 'storage-qos-graphql'
      and wait_event_type = 'Lock'
  `;
  await eventually(async () => expect(await waiting()).toHaveLength(1));
  leaving.abort();
  expect(await asked).toBe("gone");
  await eventually(async () => expect(await waiting()).toHaveLength(0));
  await admin.sql`rollback`;
});
