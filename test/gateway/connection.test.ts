import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createDatabase } from "../harness/index.ts";
import {
  type FakeAnswer,
  type FakeOptions,
  type FakeQuestion,
  fakePostgres,
} from "./fake-postgres.ts";
import { missing, pgmoonPath } from "./nginx.ts";
import { type ConnectionSettings, type QueryNginx, startQueryNginx } from "./query-nginx.ts";

/** Text of any type that pgmoon does not convert. */
const text = 25;

describe.skipIf(missing !== undefined)(
  "the gateway's connection closes the traps of pgmoon",
  () => {
    let folder: string;
    let nginx: QueryNginx;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "qos-certificate-"));
      makeCertificate(folder);
      nginx = await startQueryNginx(join(folder, "certificate.pem"));
    });

    afterAll(async () => {
      await nginx?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    function secureContext() {
      return createSecureContext({
        key: readFileSync(join(folder, "key.pem")),
        cert: readFileSync(join(folder, "certificate.pem")),
      });
    }

    async function serverThat(
      answer: (question: FakeQuestion) => FakeAnswer,
      more: { readonly password?: string; readonly isSecure?: boolean } = {},
    ) {
      const { isSecure, ...options } = more;
      const tls = isSecure ? { tls: secureContext() } : {};
      const server = await fakePostgres({ answer, ...options, ...tls });
      onTestFinished(() => server.close());
      const settings: ConnectionSettings = {
        hosts: [{ host: "127.0.0.1", port: server.port, tls_name: "database.test" }],
        ...{ database: "storage", user: "gateway", application_name: "gateway of a test" },
        ...{ tls: isSecure ?? false, tls_required: isSecure ?? false, tls_verify: true },
        ...{ pool_size: 4, timeout_ms: 250, statement_timeout_ms: 0 },
        ...(more.password === undefined ? {} : { password: more.password }),
      };
      return { server, settings };
    }

    /** Answers with the statement, and with the number of its connection. */
    const echo = ({ statement, connection }: FakeQuestion): FakeAnswer => ({
      row: [
        ["said", text, statement],
        ["connection", text, String(connection)],
      ],
    });

    describe("a lost SQLSTATE", () => {
      test("code, message, detail and hint of the server come through", async () => {
        const error = {
          ...{ S: "ERROR", V: "ERROR", C: "QS404", M: "unknown application" },
          ...{ D: "app_id: 1", H: "Look at the id." },
        };
        const { settings } = await serverThat(() => ({ error }));
        expect(await nginx.query(settings, "select 1")).toEqual({
          problem: {
            code: "QS404",
            message: "unknown application",
            detail: "app_id: 1",
            hint: "Look at the id.",
          },
        });
      });

      test("after an error the connection serves on: its answer was read to the end", async () => {
        const error = { S: "ERROR", C: "QS404", M: "unknown" };
        const { settings } = await serverThat((question) =>
          question.statement === "select 'wrong'" ? { error } : echo(question),
        );
        await nginx.query(settings, "select 'wrong'");
        const { rows } = await nginx.query(settings, "select 'right'");
        expect(rows).toEqual([{ said: "select 'right'", connection: "1" }]);
      });

      test("a code is of its own statement: the next failure has none of it", async () => {
        const error = { S: "ERROR", C: "QS404", M: "unknown" };
        const { settings } = await serverThat(({ statement }) =>
          statement === "select 'wrong'" ? { error } : { afterMs: 600 },
        );
        await nginx.query(settings, "select 'wrong'");
        const { problem } = await nginx.query(settings, "select 'late'");
        expect(problem?.code).toBeUndefined();
        expect(problem?.message).toContain("timeout");
      });
    });

    describe("a reply that comes too late", () => {
      const late =
        (more: FakeAnswer = {}) =>
        (question: FakeQuestion): FakeAnswer => ({
          ...echo(question),
          ...(question.statement === "select 'late'" ? { afterMs: 400, ...more } : {}),
        });

      test("never reaches the next statement", async () => {
        const { settings } = await serverThat(late());
        const { problem } = await nginx.query(settings, "select 'late'");
        expect(problem).toEqual({ message: expect.stringContaining("timeout") });
        const { rows } = await nginx.query(settings, "select 'next'");
        expect(rows).toEqual([{ said: "select 'next'", connection: "2" }]);
      });

      test("nor does one that a notice went ahead of", async () => {
        const notice = { S: "NOTICE", C: "01000", M: "patience" };
        const { settings } = await serverThat(late({ notice }));
        const { problem } = await nginx.query(settings, "select 'late'");
        expect(problem).toEqual({ message: expect.stringContaining("timeout") });
        const { rows } = await nginx.query(settings, "select 'next'");
        expect(rows).toEqual([{ said: "select 'next'", connection: "2" }]);
      });

      test("the server is told to give up sooner, at the start of the session", async () => {
        const { server, settings } = await serverThat(echo);
        await nginx.query({ ...settings, statement_timeout_ms: 200 }, "select 1");
        expect(server.startups).toEqual([
          {
            user: "gateway",
            database: "storage",
            application_name: "gateway of a test",
            statement_timeout: "200",
            default_transaction_isolation: "read committed",
          },
        ]);
      });

      test("a pooler that takes no such parameters is sent none with a timeout of 0", async () => {
        const { server, settings } = await serverThat(echo);
        await nginx.query({ ...settings, statement_timeout_ms: 0 }, "select 1");
        const [startup, ...others] = server.startups;
        expect(others).toEqual([]);
        // pgmoon itself may send its name.
        expect(Object.keys(startup ?? {}).filter((name) => name !== "application_name")).toEqual([
          "user",
          "database",
        ]);
      });
    });

    describe("transactions and settings", () => {
      test.each([
        "begin",
        "set statement_timeout = 0",
        "select 1; begin",
        "select set_config('role', 'x', false)",
        "update t set a = 1",
      ])("are not sent: %s", async (statement) => {
        const { server, settings } = await serverThat(echo);
        const { raised } = await nginx.query(settings, statement);
        expect(raised).toContain("only single selects");
        expect(server.startups).toHaveLength(0);
      });

      test.each(["T", "E"] as const)("one that is open (%s) ends with its user", async (state) => {
        const { settings } = await serverThat((question) => ({
          ...echo(question),
          ...(question.statement === "select 'opens'" ? { state } : {}),
        }));
        const { rows } = await nginx.query(settings, "select 'opens'");
        expect(rows).toEqual([{ said: "select 'opens'", connection: "1" }]);
        const next = await nginx.query(settings, "select 'next'");
        expect(next.rows).toEqual([{ said: "select 'next'", connection: "2" }]);
      });

      test("another password or timeout is another pool", async () => {
        const { settings } = await serverThat(echo);
        await nginx.query(settings, "select 1");
        const others = [
          { ...settings, password: "other" },
          { ...settings, statement_timeout_ms: 7 },
        ];
        const seen = [];
        for (const other of others) {
          seen.push((await nginx.query(other, "select 1")).rows?.[0]?.connection);
        }
        expect(seen).toEqual(["2", "3"]);
      });
    });

    describe("numbers", () => {
      test("keep their digits on the way in", async () => {
        const numbers = {
          "20": "9007199254740993",
          "23": "2147483647",
          "21": "-32768",
          "700": "0.1",
          "701": "0.30000000000000004",
          "1700": "123456789012345678.123456",
        };
        const row = Object.entries(numbers).map(
          ([oid, digits]) => [`of ${oid}`, Number(oid), digits] as const,
        );
        const { settings } = await serverThat(() => ({ row }));
        const { rows } = await nginx.query(settings, "select 1");
        expect(rows).toEqual([Object.fromEntries(row.map(([name, , digits]) => [name, digits]))]);
      });

      test("keep their digits on the way out, and null is none", async () => {
        let seen: FakeQuestion["parameters"] = [];
        const { settings } = await serverThat((question) => {
          seen = question.parameters;
          return echo(question);
        });
        await nginx.query(settings, "select $1", 9007199254740991, "123456789012.123456", null);
        expect(seen.map((parameter) => parameter.text)).toEqual([
          "9007199254740991",
          "123456789012.123456",
          null,
        ]);
      });
    });

    describe("SCRAM over TLS", () => {
      test("signs in without channel binding, which takes what is not there", async () => {
        const { settings } = await serverThat(echo, { password: "secret", isSecure: true });
        const { rows, problem } = await nginx.query(settings, "select 1");
        expect(problem).toBeUndefined();
        expect(rows).toHaveLength(1);
      });

      test("not to a server of another name", async () => {
        const { server, settings } = await serverThat(echo, { password: "secret", isSecure: true });
        const { problem } = await nginx.query(
          {
            ...settings,
            hosts: settings.hosts.map((host) => ({ ...host, tls_name: "other.test" })),
          },
          "select 1",
        );
        // nginx says which, or that the connection is closed, as it happens to see it.
        expect(problem?.message).toMatch(/certificate host mismatch|closed/);
        expect(server.startups).toHaveLength(0);
      });

      test("not without TLS where TLS is told", async () => {
        const { server, settings } = await serverThat(echo, { password: "secret" });
        const secured = { ...settings, tls: true, tls_required: true };
        const { problem } = await nginx.query(secured, "select 1");
        expect(problem).toMatchObject({ message: "the server has no TLS" });
        expect(server.startups).toHaveLength(0);
      });

      test("nor with it where it is only preferred and the server has none", async () => {
        const { settings } = await serverThat(echo);
        const { rows } = await nginx.query({ ...settings, tls: true }, "select 1");
        expect(rows).toHaveLength(1);
      });
    });

    describe("several hosts", () => {
      /** The host that answered last is asked first: a test has an nginx of its own. */
      async function freshNginx() {
        const own = await startQueryNginx(join(folder, "certificate.pem"));
        onTestFinished(() => own.stop());
        return own;
      }

      async function hostsThat(...answers: readonly FakeOptions[]) {
        const servers = await Promise.all(answers.map((options) => fakePostgres(options)));
        for (const server of servers) onTestFinished(() => server.close());
        const { settings } = await serverThat(echo);
        const hosts = servers.map(({ port }) => ({ host: "127.0.0.1", port }));
        return { servers, settings: { ...settings, hosts } };
      }

      const named =
        (name: string, asked: string[] = []) =>
        ({ statement }: FakeQuestion): FakeAnswer => {
          asked.push(`${name}: ${statement}`);
          return { row: [["by", text, name]] };
        };

      test("the next one is asked where one does not answer, and from then on first", async () => {
        const { servers, settings } = await hostsThat(
          { answer: named("one") },
          { answer: named("two") },
        );
        await servers[0]?.close();
        const own = await freshNginx();
        expect((await own.query(settings, "select 1")).rows).toEqual([{ by: "two" }]);
        const [, two] = servers;
        await own.query({ ...settings, hosts: settings.hosts.toReversed() }, "select 2");
        expect(two?.startups).toHaveLength(1);
      });

      test("one in recovery, or that is read only, is asked for nothing", async () => {
        for (const parameter of ["in_hot_standby", "default_transaction_read_only"]) {
          const asked: string[] = [];
          const { settings } = await hostsThat(
            { answer: named("one", asked), parameters: { [parameter]: "on" } },
            { answer: named("two", asked), parameters: { [parameter]: "off" } },
          );
          const own = await freshNginx();
          expect((await own.query(settings, "select 1")).rows).toEqual([{ by: "two" }]);
          expect(asked).toEqual(["two: select 1"]);
        }
      });

      test.each([
        ["25006", "cannot execute UPDATE in a read-only transaction"],
        ["0A000", "cannot execute nextval() during recovery"],
        ["57P01", "terminating connection due to administrator command"],
        ["57P03", "the database system is starting up"],
        ["08006", "connection failure"],
        ["53300", "too many clients"],
      ])("an error %s closes its connection, and the next one is asked", async (code, message) => {
        let ills = 1;
        const { servers, settings } = await hostsThat(
          {
            answer: (question) => {
              ills -= 1;
              return ills >= 0
                ? { error: { S: "ERROR", C: code, M: message } }
                : named("one")(question);
            },
          },
          { answer: named("two") },
        );
        const own = await freshNginx();
        expect((await own.query(settings, "select 1")).rows).toEqual([{ by: "two" }]);
        const [first] = settings.hosts;
        const alone = { ...settings, hosts: [first as (typeof settings.hosts)[number]] };
        expect((await own.query(alone, "select 2")).rows).toEqual([{ by: "one" }]);
        expect(servers[0]?.startups).toHaveLength(2);
      });

      test.each(["QS404", "40P01", "55P03", "57014"])(
        "an error %s is the answer, and no other is asked",
        async (code) => {
          const { servers, settings } = await hostsThat(
            { answer: () => ({ error: { S: "ERROR", C: code, M: "no" } }) },
            { answer: named("two") },
          );
          const own = await freshNginx();
          expect((await own.query(settings, "select 1")).problem).toMatchObject({ code });
          expect(servers[1]?.startups).toEqual([]);
        },
      );

      test("it is a problem where none of them can charge", async () => {
        const { servers, settings } = await hostsThat(
          { answer: named("one") },
          { answer: named("two"), parameters: { in_hot_standby: "on" } },
        );
        await servers[0]?.close();
        const { problem } = await (await freshNginx()).query(settings, "select 1");
        expect(problem).toMatchObject({ code: "25006" });
      });
    });

    describe.skipIf(pgmoonPath === undefined)("with pgmoon and PostgreSQL themselves", async () => {
      const database = await createDatabase();
      const { hostname, port, pathname, username, password } = new URL(
        database.urlAs("rate_limiter_app"),
      );
      const settings: ConnectionSettings = {
        ...{ hosts: [{ host: hostname, port: Number(port) }], database: pathname.slice(1) },
        ...{ user: decodeURIComponent(username), password: decodeURIComponent(password) },
        ...{ tls: false, tls_required: false, tls_verify: true, application_name: "test" },
        ...{ pool_size: 4, timeout_ms: 500, statement_timeout_ms: 0 },
      };

      test("code, detail and hint", async () => {
        const { problem } = await nginx.query(
          settings,
          "select rate_limiter.application_of_key($1::text)",
          "nobody's",
        );
        expect(problem).toMatchObject({ code: "QS401", message: "unknown api key" });
        expect(problem?.hint).toBeTruthy();
      });

      test("a statement that outlives its caller", async () => {
        await nginx.query(settings, "select pg_sleep(0.8), 'late' as said");
        const { rows } = await nginx.query(settings, "select 'next' as said");
        expect(rows).toEqual([{ said: "next" }]);
      });

      test("a statement that the server gives up, and a connection that serves on", async () => {
        const limited = { ...settings, timeout_ms: 5_000, statement_timeout_ms: 100 };
        const before = await nginx.query(limited, "select pg_backend_pid() as pid");
        const { problem } = await nginx.query(limited, "select pg_sleep(4)");
        expect(problem?.code).toBe("57014");
        expect(await nginx.query(limited, "select pg_backend_pid() as pid")).toEqual(before);
      });

      test("numbers", async () => {
        const { rows } = await nginx.query(
          settings,
          "select 9007199254740993 as a, 0.000001 as b, $1::numeric as c, $2::bigint as d",
          ...["123456789012345678.123456", 9007199254740991],
        );
        expect(rows).toEqual([
          {
            ...{ a: "9007199254740993", b: "0.000001" },
            ...{ c: "123456789012345678.123456", d: "9007199254740991" },
          },
        ]);
      });
    });
  },
);

function makeCertificate(folder: string): void {
  const names = "subjectAltName=DNS:database.test";
  execFileSync(
    "openssl",
    [
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-keyout", join(folder, "key.pem"), "-out", join(folder, "certificate.pem")],
      ...["-days", "2", "-subj", "/CN=database.test", "-addext", names],
    ],
    { stdio: "ignore" },
  );
}
