import { beforeAll, describe, expect, test } from "vitest";
import { password, serveApi } from "./api.ts";
import { type ApiWorld, serveTwoTenants } from "./world.ts";

let world: ApiWorld;
beforeAll(async () => {
  world = await serveTwoTenants();
});

const start = `mutation ($input: LoginInput!) {
  startCookieSession(input: $input) { accessTokenExpiresAt }
}`;
const refresh = "mutation { refreshCookieSession { accessTokenExpiresAt } }";
const end = "mutation { endCookieSession { changed } }";
const viewer = "{ viewer { email } }";

interface Headers {
  readonly [name: string]: string;
}

function post(query: string, headers: Headers, url = world.api.url): Promise<Response> {
  return fetch(new URL("/graphql", url), {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ query, ...(query === start && { variables: credentials() }) }),
  });
}

function credentials() {
  return { input: { tenant: "mine", email: "app_viewer@mine.example", password } };
}

/** As a page of the API's own origin sends it. */
function page(session: "use" | "begin", cookie = ""): Headers {
  return { "x-cookie-session": session, "sec-fetch-site": "same-origin", cookie };
}

/** What a browser would send back. */
function cookiesOf(response: Response): string {
  const pairs = response.headers.getSetCookie().map((line) => line.split(";", 1)[0] ?? "");
  return pairs.filter((pair) => !pair.endsWith("=")).join("; ");
}

async function signedIn(): Promise<string> {
  return cookiesOf(await post(start, page("begin")));
}

// biome-ignore lint/suspicious/noExplicitAny: what a test asks for is what it gets.
async function answerOf(response: Response): Promise<any> {
  return response.json();
}

async function codeOf(response: Response): Promise<string> {
  const { errors } = await answerOf(response);
  return `${errors?.[0]?.extensions.code} ${errors?.[0]?.message}`;
}

/** What a socket that signs in by its cookies is answered to a subscription. */
async function firstAnswer(headers: Headers): Promise<string> {
  const socket = new WebSocket(new URL("/graphql", world.api.url.replace("http", "ws")), {
    protocols: ["graphql-transport-ws"],
    headers,
  });
  const query = `subscription { applicationStatus(appId: "${world.mine.appId}") { at } }`;
  try {
    return await new Promise((resolve, reject) => {
      socket.onerror = reject;
      socket.onopen = () =>
        socket.send(JSON.stringify({ type: "connection_init", payload: { session: "cookie" } }));
      socket.onmessage = ({ data }) => {
        const { type } = JSON.parse(data);
        if (type !== "connection_ack") return resolve(type);
        socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: { query } }));
      };
    });
  } finally {
    socket.close();
  }
}

describe("a session of cookies", () => {
  test("ends when the same page starts another one, and no other session does", async () => {
    const elsewhere = await signedIn();
    const first = await signedIn();
    const wrong = { input: { ...credentials().input, password: "wrong" } };
    const failed = await fetch(new URL("/graphql", world.api.url), {
      method: "POST",
      headers: { "content-type": "application/json", ...page("begin", first) },
      body: JSON.stringify({ query: start, variables: wrong }),
    });
    expect(await codeOf(failed)).toBe("QS401 email or password is wrong");
    expect((await answerOf(await post(viewer, page("use", first)))).errors).toBeUndefined();
    const second = cookiesOf(await post(start, page("begin", first)));
    expect(await codeOf(await post(viewer, page("use", first)))).toBe("QS401 not signed in");
    for (const cookies of [second, elsewhere]) {
      expect((await answerOf(await post(viewer, page("use", cookies)))).errors).toBeUndefined();
    }
  });

  test("tells its page when it ends, and its tokens to cookies alone", async () => {
    const response = await post(start, page("begin"));
    const cookies = response.headers.getSetCookie();
    expect(cookies).toHaveLength(2);
    for (const cookie of cookies) {
      expect(cookie).toMatch(
        /^qos_(access|refresh)=.+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/,
      );
    }
    const text = await response.text();
    expect(JSON.parse(text).data.startCookieSession.accessTokenExpiresAt).toMatch(/^\d{4}-/);
    for (const pair of cookiesOf(response).split("; ")) {
      expect(text).not.toContain(pair.split("=")[1]);
    }
  });

  test("signs its requests, goes on by a refresh, and ends", async () => {
    const cookies = await signedIn();
    expect(await answerOf(await post(viewer, page("use", cookies)))).toEqual({
      data: { viewer: { email: "app_viewer@mine.example" } },
    });
    const next = cookiesOf(await post(refresh, page("begin", cookies)));
    expect(next).not.toBe(cookies);
    const ended = await post(end, page("use", next));
    expect(cookiesOf(ended)).toBe("");
    expect(await codeOf(await post(viewer, page("use", next)))).toBe("QS401 not signed in");
    expect(await codeOf(await post(refresh, page("begin", next)))).toMatch(/^QS401/);
  });

  test("ends when its page asks for it, after its access token has ended too", async () => {
    const cookies = await signedIn();
    const [refreshAlone = ""] = cookies.match(/qos_refresh=[^;]+/) ?? [];
    const ended = await post(end, page("begin", refreshAlone));
    expect(cookiesOf(ended)).toBe("");
    expect(await answerOf(ended)).toEqual({ data: { endCookieSession: { changed: true } } });
    expect(await codeOf(await post(viewer, page("use", cookies)))).toBe("QS401 not signed in");
    expect(await codeOf(await post(refresh, page("begin", cookies)))).toMatch(/^QS401/);
    expect(await answerOf(await post(end, page("begin", cookies)))).toEqual({
      data: { endCookieSession: { changed: true } },
    });
  });

  test("asks for TLS in production, by cookies of this very host", async () => {
    const { url } = await serveApi(world.database, { NODE_ENV: "production" });
    const response = await post(start, page("begin"), url);
    for (const cookie of response.headers.getSetCookie()) {
      expect(cookie).toMatch(/^__Host-qos_(access|refresh)=.+; Path=\/; .*; Secure$/);
    }
  });
});

describe("another page", () => {
  test("cannot use the cookies without the header, which it cannot send", async () => {
    const cookie = await signedIn();
    const answer = await answerOf(await post(viewer, { cookie, "sec-fetch-site": "cross-site" }));
    expect(answer).toEqual({ data: { viewer: null } });
    const preflight = await fetch(new URL("/graphql", world.api.url), {
      method: "OPTIONS",
      headers: {
        origin: "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-cookie-session",
      },
    });
    expect(preflight.headers.get("access-control-allow-origin")).toBeNull();
    expect(preflight.headers.get("access-control-allow-headers")).toBeNull();
  });

  test.each([
    ["another site", { "sec-fetch-site": "cross-site" }],
    ["another origin of the site", { "sec-fetch-site": "same-site" }],
    ["another origin, of an older browser", { origin: "https://evil.example" }],
    ["nothing that says where it comes from", {}],
    ["an origin that is not one", { origin: "null" }],
  ])("cannot use them from %s", async (_name, origin) => {
    const headers = { "x-cookie-session": "use", cookie: await signedIn(), ...origin };
    expect(await codeOf(await post(viewer, headers))).toBe("QS403 cookies of another origin");
    const begin = { ...headers, "x-cookie-session": "begin" };
    expect(await codeOf(await post(refresh, begin))).toBe("QS403 cookies of another origin");
  });

  test("cannot follow a subscription by the cookies of its handshake", async () => {
    const cookie = await signedIn();
    const origin = new URL(world.api.url).origin;
    expect(await firstAnswer({ cookie, origin })).toBe("next");
    expect(await firstAnswer({ cookie, origin: "https://evil.example" })).toBe("error");
    expect(await firstAnswer({ cookie })).toBe("error");
  });
});

test("a header that says neither is refused, and so is a mutation that is not about cookies", async () => {
  expect(await codeOf(await post(viewer, { "x-cookie-session": "yes" }))).toBe(
    "QS400 invalid X-Cookie-Session",
  );
  expect(await codeOf(await post(refresh, {}))).toBe("QS400 request is not about cookies");
});

test("a token in the header counts for more than cookies", async () => {
  const { accessToken } = await world.api.signIn("auditor@mine.example");
  const headers = { ...page("use", await signedIn()), authorization: `Bearer ${accessToken}` };
  expect(await answerOf(await post(viewer, headers))).toEqual({
    data: { viewer: { email: "auditor@mine.example" } },
  });
});
