import { createServer } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Address } from "../../../src/worker/alerts/address-guard.ts";
import { makeProbe } from "../../../src/worker/health/probe.ts";
import { healthSettings } from "../../../src/worker/health/settings.ts";
import { workerSettings } from "../../../src/worker/settings.ts";
import { startHttpReceiver } from "../alerts/receivers.ts";

const here = { HEALTH_ALLOWED_NETWORKS: "127.0.0.0/8", HEALTH_TIMEOUT_MS: "300" };
const probe = makeProbe(healthSettings(here));

/** A server that answers any request with these bytes, again and again, and never ends. */
async function startRawServer(bytes: string): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    const timer = setInterval(() => socket.write(bytes), 1);
    socket.on("close", () => clearInterval(timer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/`;
}

describe("a probe", () => {
  test.each([200, 204])("takes %i for up", async (status) => {
    const receiver = await startHttpReceiver();
    receiver.answer = status;
    const { host } = new URL(receiver.url);
    expect(await probe(receiver.url)).toEqual({
      isUp: true,
      message: `${host} answered ${status}`,
    });
    expect(receiver.received).toMatchObject([
      { body: "", headers: { "user-agent": "storage-qos" } },
    ]);
  });

  test.each([101, 304, 400, 404, 429, 500, 503])("takes %i for down", async (status) => {
    const receiver = await startHttpReceiver();
    receiver.answer = status;
    expect(await probe(receiver.url)).toMatchObject({ isUp: false });
  });

  test("follows no redirect", async () => {
    const receiver = await startHttpReceiver();
    const target = await startHttpReceiver();
    receiver.answer = 302;
    receiver.location = target.url;
    const finding = await probe(receiver.url);
    expect(finding).toMatchObject({ isUp: false, message: expect.stringMatching(/answered 302$/) });
    expect(target.received).toEqual([]);
  });

  test("waits no longer than its timeout, for the answer and for the name alike", async () => {
    const receiver = await startHttpReceiver();
    receiver.answer = "never";
    const finding = await probe(receiver.url);
    expect(finding).toMatchObject({ isUp: false, message: expect.stringMatching(/in 300 ms$/) });
    const silent = makeProbe(healthSettings(here), () => new Promise<Address[]>(() => {}));
    const unnamed = await silent("http://cluster.example/");
    expect(unnamed).toMatchObject({ isUp: false, message: expect.stringMatching(/in 300 ms$/) });
  });

  test("reads no body, and no headers without an end", async () => {
    const body = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    expect(await probe(await startRawServer(body))).toMatchObject({ isUp: true });
    const headers = await startRawServer(`HTTP/1.1 200 OK\r\n${"x-more: yes\r\n".repeat(5000)}`);
    expect(await probe(headers)).toMatchObject({ isUp: false });
  });

  test("takes a refused connection and a name that is not there for down", async () => {
    expect(await probe("http://127.0.0.1:1/")).toMatchObject({
      isUp: false,
      message: expect.stringContaining("ECONNREFUSED"),
    });
    const lost = makeProbe(healthSettings(here), async () => {
      throw new Error("getaddrinfo ENOTFOUND cluster.invalid");
    });
    expect(await lost("http://cluster.invalid/")).toMatchObject({ isUp: false });
  });

  test("ends with the job that it belongs to", async () => {
    const receiver = await startHttpReceiver();
    receiver.answer = "never";
    const ending = new AbortController();
    const asked = makeProbe(healthSettings({ ...here, HEALTH_TIMEOUT_MS: "60000" }))(
      receiver.url,
      ending.signal,
    );
    setTimeout(() => ending.abort(), 50);
    expect(await asked).toMatchObject({ isUp: false });
  });
});

describe("the address rules of webhooks bind a probe:", () => {
  const anywhere = makeProbe(healthSettings({}));

  test.each([
    "http://127.0.0.1/",
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://[::1]/",
    "http://[::ffff:10.0.0.1]/",
  ])("%s is not asked, which says nothing of the cluster", async (url) => {
    const { host } = new URL(url);
    const { isUp, message } = await anywhere(url);
    expect(isUp).toBe(null);
    expect(message).toContain("has an address that is not public; see HEALTH_ALLOWED_NETWORKS");
    expect(message).toContain(host.split(":")[0]);
  });

  test("nor is a name with a private address among its own", async () => {
    const names = async (): Promise<Address[]> => [
      { address: "8.8.8.8", family: 4 },
      { address: "10.0.0.1", family: 4 },
    ];
    const finding = await makeProbe(healthSettings({}), names)("http://cluster.example/");
    expect(finding.isUp).toBe(null);
  });

  test("the address that was judged is the one that is asked", async () => {
    const receiver = await startHttpReceiver();
    const { port } = new URL(receiver.url);
    let asked = 0;
    const names = async (): Promise<Address[]> => {
      asked++;
      return [{ address: asked === 1 ? "127.0.0.1" : "10.0.0.1", family: 4 }];
    };
    const finding = await makeProbe(healthSettings(here), names)(`http://cluster.invalid:${port}/`);
    expect(finding.isUp).toBe(true);
    expect(asked).toBe(1);
  });

  test("networks of probes are closed to webhooks, and those of webhooks open to probes", () => {
    const { alerts, health } = workerSettings({
      ALERT_ALLOWED_NETWORKS: "10.1.0.0/16",
      HEALTH_ALLOWED_NETWORKS: "10.2.0.0/16, fd00::/8",
    });
    expect(alerts.allowedNetworks).toEqual(["10.1.0.0/16"]);
    expect(health.allowedNetworks).toEqual(["10.2.0.0/16", "fd00::/8", "10.1.0.0/16"]);
    expect(() => makeProbe(healthSettings({ HEALTH_ALLOWED_NETWORKS: "storage" }))).toThrow(
      "HEALTH_ALLOWED_NETWORKS names no network: storage",
    );
  });

  test("a URL that cannot be read is not asked", async () => {
    expect(await anywhere("http://%%/")).toMatchObject({ isUp: null });
  });
});
