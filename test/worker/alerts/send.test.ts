import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type Address, makeAddressGuard } from "../../../src/worker/alerts/address-guard.ts";
import { PermanentFailure } from "../../../src/worker/alerts/failure.ts";
import type { Notification } from "../../../src/worker/alerts/notification.ts";
import type { Channel } from "../../../src/worker/alerts/notification-config.ts";
import { makePost } from "../../../src/worker/alerts/post.ts";
import { makeSend } from "../../../src/worker/alerts/send.ts";
import { alertSettings } from "../../../src/worker/alerts/settings.ts";
import { startHttpReceiver, startSilentServer, startSmtpReceiver } from "./receivers.ts";

const here = { ALERT_ALLOWED_NETWORKS: "127.0.0.0/8, ::1", ALERT_TIMEOUT_MS: "500" };

function notificationFor(channel: Channel | null): Notification {
  return {
    id: "7a0f3f43-2f0c-4a4e-9d0a-3f1c0c1d2e3f",
    event: "triggered",
    channel,
    content: {
      alert: {
        id: "3b1f3f43-2f0c-4a4e-9d0a-3f1c0c1d2e3f",
        metric: "depth",
        condition: ">",
        threshold: 10,
        duration_seconds: 60,
        severity: "critical",
      },
      application: { id: "1", name: "back\nup <!channel> & more" },
      occurrence: "2",
      value: 11,
      description: "depth > 10 for 60 seconds",
      triggered_at: "2026-01-01T00:00:00+00:00",
      acknowledged_at: null,
      resolved_at: null,
    },
  };
}

const sendTo = (channel: Channel | null, env: NodeJS.ProcessEnv = here) =>
  makeSend(alertSettings(env))(notificationFor(channel));

describe("a webhook", () => {
  test("gets the notification, signed", async () => {
    const receiver = await startHttpReceiver();
    const secret = "0123456789abcdef";
    await sendTo({ channel: "webhook", url: receiver.url, secret });
    const [{ headers, body } = { headers: {}, body: "" }] = receiver.received;
    const [, time = "", signature] =
      /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers["storage-qos-signature"])) ?? [];
    expect(signature).toBe(createHmac("sha256", secret).update(`${time}.${body}`).digest("hex"));
    expect(Math.abs(Date.now() / 1000 - Number(time))).toBeLessThan(60);
    expect(headers["storage-qos-notification"]).toBe(notificationFor(null).id);
    expect(JSON.parse(body)).toEqual({
      id: notificationFor(null).id,
      event: "triggered",
      ...notificationFor(null).content,
    });
  });

  test.each([500, 503, 429, 408])("that answers %i is tried again", async (status) => {
    const receiver = await startHttpReceiver();
    receiver.answer = status;
    const sent = sendTo({ channel: "webhook", url: receiver.url });
    await expect(sent).rejects.toThrow(`answered ${status}`);
    await expect(sent).rejects.not.toBeInstanceOf(PermanentFailure);
  });

  test.each([400, 404, 410, 301, 101])("that answers %i is not", async (status) => {
    const receiver = await startHttpReceiver();
    receiver.answer = status;
    const sent = sendTo({ channel: "webhook", url: receiver.url });
    await expect(sent).rejects.toBeInstanceOf(PermanentFailure);
  });

  test("that redirects is not followed", async () => {
    const [receiver, elsewhere] = [await startHttpReceiver(), await startHttpReceiver()];
    receiver.answer = 307;
    receiver.location = elsewhere.url;
    await expect(sendTo({ channel: "webhook", url: receiver.url })).rejects.toThrow();
    expect(elsewhere.received).toEqual([]);
  });

  test("that never answers is given up after a while, and tried again", async () => {
    const receiver = await startHttpReceiver();
    receiver.answer = "never";
    const sent = sendTo({ channel: "webhook", url: receiver.url });
    await expect(sent).rejects.toThrow("did not answer in 500 ms");
    await expect(sent).rejects.not.toBeInstanceOf(PermanentFailure);
  });

  test("on this machine is not called unless it is allowed", async () => {
    const receiver = await startHttpReceiver();
    const { port } = new URL(receiver.url);
    for (const host of [
      "127.0.0.1",
      "localhost",
      "[::1]",
      "2130706433",
      "0x7f.1",
      "[::ffff:7f00:1]",
    ]) {
      const sent = sendTo({ channel: "webhook", url: `http://${host}:${port}/` }, {});
      await expect(sent, host).rejects.toBeInstanceOf(PermanentFailure);
    }
    expect(receiver.received).toEqual([]);
  });
});

describe("addresses", () => {
  const guard = makeAddressGuard([]);

  test.each([
    "10.0.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "127.0.0.1",
    "0.0.0.0",
    "100.64.0.1",
    "255.255.255.255",
    "224.0.0.1",
    "::",
    "::1",
    "fe80::1",
    "fd00::1",
    "ff02::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "::7f00:1",
    "2001:db8::1",
    "2001::1",
    "::ffff:8.8.8.8",
    "64:ff9b:1::808:808",
    "100:1::1",
    "0:1::1",
  ])("%s is refused", async (address) => {
    await expect(guard(address)).rejects.toBeInstanceOf(PermanentFailure);
  });

  test.each(["8.8.8.8", "172.32.0.1", "2606:4700::1111"])("%s is let through", async (address) => {
    await expect(guard(address)).resolves.toMatchObject([{ address }]);
  });

  test("that are allowed are let through, their neighbours are not", async () => {
    const some = makeAddressGuard(["10.1.0.0/16", "fd00::5"]);
    await expect(some("10.1.2.3")).resolves.toMatchObject([{ family: 4 }]);
    await expect(some("fd00::5")).resolves.toMatchObject([{ family: 6 }]);
    await expect(some("10.2.0.1")).rejects.toBeInstanceOf(PermanentFailure);
    await expect(some("fd00::6")).rejects.toBeInstanceOf(PermanentFailure);
  });

  test.each(["10.1.0.0/33", "example.org", "10.1.0.0/x", "::/129"])(
    "%s is not a network",
    (network) => {
      expect(() => makeAddressGuard([network])).toThrow(/names no network/);
    },
  );
});

describe("a name", () => {
  const answering = (...addresses: readonly Address[]) => {
    let asked = 0;
    const resolve = async () => {
      asked++;
      return addresses;
    };
    return { resolve, timesAsked: () => asked };
  };
  const isPublic: Address = { address: "8.8.8.8", family: 4 };

  test.each<Address>([
    { address: "10.0.0.1", family: 4 },
    { address: "169.254.169.254", family: 4 },
    { address: "fd00::1", family: 6 },
    { address: "::ffff:192.168.0.1", family: 6 },
  ])("that has the private address $address is refused, whatever else it has", async (address) => {
    for (const addresses of [[address], [isPublic, address], [address, isPublic]]) {
      const guard = makeAddressGuard([], answering(...addresses).resolve);
      await expect(guard("example.org")).rejects.toBeInstanceOf(PermanentFailure);
    }
  });

  test("that has none is refused, one with public ones is let through", async () => {
    const nobody = makeAddressGuard([], answering().resolve);
    await expect(nobody("example.org")).rejects.toBeInstanceOf(PermanentFailure);
    const guard = makeAddressGuard([], answering(isPublic).resolve);
    await expect(guard("example.org")).resolves.toEqual([isPublic]);
  });

  test("whose address changes after it was judged is asked at the one that was judged", async () => {
    const receiver = await startHttpReceiver();
    const { port } = new URL(receiver.url);
    let asked = 0;
    const rebinding = async (): Promise<Address[]> => [
      { address: asked++ === 0 ? "127.0.0.2" : "127.0.0.1", family: 4 },
    ];
    // Where nothing listens stands for a public address.
    const post = makePost(makeAddressGuard(["127.0.0.2"], rebinding), 500);
    const send = () => post(`http://rebinding.invalid:${port}/`, "{}", {});
    await expect(send()).rejects.toThrow("127.0.0.2");
    await expect(send()).rejects.toBeInstanceOf(PermanentFailure);
    expect(asked).toBe(2);
    expect(receiver.received).toEqual([]);
  });

  const local = (host: number): Address => ({ address: `127.0.0.${host}`, family: 4 });

  test("is asked at its next address where the first takes no connection", async () => {
    const receiver = await startHttpReceiver();
    const { port } = new URL(receiver.url);
    const names = answering(local(2), { address: "::1", family: 6 }, local(1));
    const post = makePost(makeAddressGuard(["127.0.0.0/8", "::1"], names.resolve), 2_000);
    await post(`http://receiver.invalid:${port}/hook`, "{}", {});
    expect(receiver.received.length).toBe(1);
    expect(names.timesAsked()).toBe(1);
  });

  test("is asked at no address beside those that were judged", async () => {
    const receiver = await startHttpReceiver();
    const { port } = new URL(receiver.url);
    // The system, too, knows this name, at the address of the receiver.
    const names = answering(local(2), local(3));
    const post = makePost(makeAddressGuard(["127.0.0.2/31"], names.resolve), 2_000);
    const sent = post(`http://localhost:${port}/`, "{}", {});
    await expect(sent).rejects.toThrow(/127\.0\.0\.2.*127\.0\.0\.3/);
    await expect(sent).rejects.not.toBeInstanceOf(PermanentFailure);
    expect(receiver.received).toEqual([]);
  });

  test("is asked at two addresses of a family at the most", async () => {
    const receiver = await startHttpReceiver();
    const { port } = new URL(receiver.url);
    const names = answering(local(2), local(3), local(1));
    const post = makePost(makeAddressGuard(["127.0.0.0/8"], names.resolve), 2_000);
    await expect(post(`http://receiver.invalid:${port}/`, "{}", {})).rejects.toThrow("127.0.0.3");
    expect(receiver.received).toEqual([]);
  });

  test("is asked for once: the notification goes to the address that was judged", async () => {
    const receiver = await startHttpReceiver();
    const { port } = new URL(receiver.url);
    const names = answering({ address: "127.0.0.1", family: 4 });
    const post = makePost(makeAddressGuard(["127.0.0.0/8"], names.resolve), 500);
    await post(`http://receiver.invalid:${port}/hook`, "{}", {});
    expect(receiver.received[0]?.headers.host).toBe(`receiver.invalid:${port}`);
    expect(names.timesAsked()).toBe(1);
  });
});

describe("other channels", () => {
  test("Slack gets a text in which nothing is markup", async () => {
    const receiver = await startHttpReceiver();
    await sendTo({ channel: "slack", url: receiver.url });
    const body = JSON.parse(receiver.received[0]?.body ?? "");
    expect(body.text).toContain("[critical] triggered: depth &gt; 10 for back");
    expect(body.text).toContain("&lt;!channel&gt; &amp; more");
    expect(body.attachments).toMatchObject([{ color: "#a30200" }]);
  });

  test("mail goes to every address, its subject in one line", async () => {
    const server = await startSmtpReceiver();
    const env = { SMTP_URL: server.url, ALERT_EMAIL_FROM: "qos@example.org" };
    await sendTo({ channel: "email", to: ["a@example.org", "b@example.org"] }, env);
    const [mail] = server.mails;
    expect(mail?.to).toEqual(["a@example.org", "b@example.org"]);
    expect(mail?.from).toContain("qos@example.org");
    expect(mail?.data).toMatch(/^Subject: \[critical\] triggered: depth > 10 for back up/m);
    expect(mail?.data).toContain(`Message-ID: <${notificationFor(null).id}@storage-qos>`);
  });

  test("mail that is sent again carries the same id", async () => {
    const server = await startSmtpReceiver();
    const env = { SMTP_URL: server.url, ALERT_EMAIL_FROM: "qos@example.org" };
    const channel: Channel = { channel: "email", to: ["a@example.org"] };
    for (let attempt = 0; attempt < 2; attempt++) await sendTo(channel, env);
    const ids = server.mails.map(({ data }) => /^Message-ID: (.+)$/m.exec(data)?.[1]?.trim());
    expect(ids).toEqual(Array(2).fill(`<${notificationFor(null).id}@storage-qos>`));
  });

  test("a busy mail server is asked again, and so is none", async () => {
    const server = await startSmtpReceiver();
    server.isBusy = true;
    const channel: Channel = { channel: "email", to: ["a@example.org"] };
    const env = { SMTP_URL: server.url, ALERT_EMAIL_DOMAINS: "example.org" };
    const busy = sendTo(channel, env);
    await expect(busy).rejects.toThrow(/451/);
    await expect(busy).rejects.not.toBeInstanceOf(PermanentFailure);
    await expect(sendTo(channel, {})).rejects.toThrow("SMTP_URL is not set");
  });

  test("mail that every recipient refuses is given up; mail that one accepts is sent", async () => {
    const server = await startSmtpReceiver();
    server.unknown.add("gone@example.org");
    const env = { SMTP_URL: server.url, ALERT_EMAIL_DOMAINS: "example.org" };
    const refused = sendTo({ channel: "email", to: ["gone@example.org"] }, env);
    await expect(refused).rejects.toBeInstanceOf(PermanentFailure);
    await expect(refused).rejects.toThrow(/550/);
    await sendTo({ channel: "email", to: ["gone@example.org", "a@example.org"] }, env);
    expect(server.mails.map((mail) => mail.to)).toEqual([["a@example.org"]]);
  });

  test("the log takes everything; a channel that is gone takes nothing", async () => {
    await sendTo({ channel: "log" });
    await expect(sendTo(null)).rejects.toBeInstanceOf(PermanentFailure);
    const broken = sendTo({ channel: "webhook" } as Channel);
    await expect(broken).rejects.toBeInstanceOf(PermanentFailure);
  });
});

describe("an attempt that is ended early", () => {
  const patient = { ...here, ALERT_TIMEOUT_MS: "120000" };

  test.each(["webhook", "slack", "email"] as const)("closes its connection: %s", async (kind) => {
    const { port, connected, closed } = await startSilentServer();
    const channel: Channel =
      kind === "email"
        ? { channel: kind, to: ["ops@example.org"] }
        : { channel: kind, url: `http://127.0.0.1:${port}/` };
    const stopping = new AbortController();
    const send = makeSend(
      alertSettings({
        ...{ ...patient, SMTP_URL: `smtp://127.0.0.1:${port}` },
        ALERT_EMAIL_DOMAINS: "example.org",
      }),
    );
    const sent = send(notificationFor(channel), stopping.signal);
    await connected;
    stopping.abort();
    await expect(sent).rejects.not.toBeInstanceOf(PermanentFailure);
    await closed;
  });
});
