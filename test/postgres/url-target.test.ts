import { describe, expect, test, vi } from "vitest";
import { connect } from "../../src/postgres/connect.ts";
import { databaseOf, withDatabase, withLogin, withRole } from "../../src/postgres/url.ts";
import { logIgnored, pgConfig, postgresOptions } from "../../src/postgres/url-drivers.ts";
import { urlTarget } from "../../src/postgres/url-target.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const cloud =
  "postgresql://me:p%40s%2Fs@ep-cool.example:6432/my%20db?sslmode=require&channel_binding=require";

describe("a connection URL as providers write it", () => {
  test("names login, password, host and database", () => {
    expect(urlTarget(cloud)).toMatchObject({
      hosts: [{ host: "ep-cool.example", port: 6432 }],
      user: "me",
      password: "p@s/s",
      database: "my db",
      tlsMode: "require",
      usesChannelBinding: true,
      ignored: [],
    });
  });

  test.each([
    ["disable", undefined],
    ["prefer", { rejectUnauthorized: false }],
    ["require", { rejectUnauthorized: false }],
    ["verify-ca", { rejectUnauthorized: true, checkServerIdentity: expect.any(Function) }],
    ["verify-full", { rejectUnauthorized: true }],
  ])("with sslmode=%s as libpq does", (mode, tls) => {
    expect(urlTarget(`postgres://host/db?sslmode=${mode}`).tls).toEqual(tls);
  });

  test("verifies against the system's certificates with sslrootcert=system", () => {
    expect(urlTarget("postgres://host/db?sslrootcert=system")).toMatchObject({
      tlsMode: "verify-full",
      tls: { rejectUnauthorized: true },
    });
  });

  test.each([
    ["postgres://[::1]:5433/db", [{ host: "::1", port: 5433 }]],
    ["postgres://u:a@b@host/db", [{ host: "host", port: 5432 }]],
    ["postgres:///db?host=/run/postgresql&port=5433", [{ host: "/run/postgresql", port: 5433 }]],
    ["postgres://%2Frun%2Fpostgresql/db", [{ host: "/run/postgresql", port: 5432 }]],
    ["postgres:///db", [{ host: "localhost", port: 5432 }]],
    [
      "postgres://one:5432,[::1]:5433,three/db",
      [
        { host: "one", port: 5432 },
        { host: "::1", port: 5433 },
        { host: "three", port: 5432 },
      ],
    ],
  ])("%s names its hosts", (url, hosts) => {
    expect(urlTarget(url).hosts).toEqual(hosts);
  });

  test("says which parameters have no effect, and sends none of them to the server", async () => {
    const url = `${database.url}?schema=public&connection_limit=3&pgbouncer=true&made_up=1`;
    const target = urlTarget(url);
    expect(target).toMatchObject({ connectionLimit: 3, isPooled: true });
    const warn = vi.fn();
    logIgnored(target, "pg", { warn });
    expect(warn.mock.calls).toEqual([
      ["ignored in the connection URL: schema"],
      ["ignored in the connection URL: made_up"],
    ]);
    expect(JSON.stringify([pgConfig(target), postgresOptions(target)])).not.toContain("made_up");
    const sql = connect(`${url}&application_name=mine&target_session_attrs=read-write`);
    expect(sql.options).toMatchObject({ max: 3, prepare: false });
    const [row] = await sql`select current_setting('application_name') as name`;
    expect(row).toEqual({ name: "mine" });
    await sql.end();
  });

  test.each([
    "postgres://host:99999/db",
    "postgres://host:port/db",
    "postgres://host/db?sslmode=sometimes",
    "postgres://host/db?connection_limit=none",
    "postgres://host/db?sslrootcert=/not/there",
    "mysql://host/db",
  ])("%s is invalid, and the error does not repeat it", (url) => {
    const reading = expect(() => urlTarget(url.replace("host", "u:secret@host")));
    reading.toThrow(expect.objectContaining({ code: "database_url_invalid" }));
    reading.not.toThrow(/secret/);
  });

  test("can be changed with several hosts and with a socket", () => {
    const many = "postgres://u@one:1,two:2/first?sslmode=require";
    expect(withDatabase(many, "second")).toBe("postgres://u@one:1,two:2/second?sslmode=require");
    expect(urlTarget(withLogin(many, "a:b", "c@d"))).toMatchObject({
      user: "a:b",
      password: "c@d",
    });
    const socket = "postgres:///db?host=/run";
    expect(urlTarget(withRole(socket, "reader"))).toMatchObject({
      hosts: [{ host: "/run" }],
      options: "-c role=reader",
    });
    expect(databaseOf(socket)).toBe("db");
  });
});
