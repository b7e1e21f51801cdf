import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as client from "../../src/client/index.ts";
import { Limiter } from "../../src/client/limiter.ts";
import { projectPath } from "../../src/paths.ts";

const read = (path: string) => readFileSync(projectPath(path), "utf8");
const guide = read("docs/integrate.md");
const lua = readdirSync(projectPath("src/gateway/lua/qos"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".lua"))
  .map((name) => read(`src/gateway/lua/qos/${name}`))
  .join("\n");

function section(heading: string): string {
  const found = guide.split(new RegExp(`^##+ ${heading}$`, "m"))[1];
  if (found === undefined) throw new Error(`no section ${heading}`);
  return found.split(/^##+ /m)[0] ?? "";
}

/** What stands between backticks in the first column of a table. */
function firstColumn(text: string): string[] {
  return [...text.matchAll(/^\| (`.*?`.*?) \|/gm)].flatMap((row) =>
    [...(row[1] ?? "").matchAll(/`(.+?)`/g)].map(([, name = ""]) => name),
  );
}

describe("the gateway", () => {
  test("every file in the guide is there", () => {
    const files = [
      ...guide.matchAll(/\b((?:src|deploy|test|lua)\/[\w./-]+[\w])/g),
      ...guide.matchAll(/`([\w-]+\.(?:conf|yml))`/g),
    ].map(([, path = ""]) => path);
    expect(files.length).toBeGreaterThan(10);
    for (const file of files) {
      const places = [file, `src/gateway/${file}`].map((path) => projectPath(path));
      expect([file, places.some((path) => existsSync(path))]).toEqual([file, true]);
    }
  });

  test("every include of nginx.conf is in the guide", () => {
    for (const [, file] of read("src/gateway/nginx.conf").matchAll(/^\s*include (\S+);/gm)) {
      expect(guide).toContain(`src/gateway/${file}`);
    }
  });

  test("every metric in the guide is counted, and every counter is in the guide", () => {
    const told = [...guide.matchAll(/`(qos_\w+)`/g)].map(([, name = ""]) => name);
    const described = [...lua.matchAll(/^ {2}(qos_\w+) = "/gm)].map(([, name = ""]) => name);
    expect([...new Set(told)].sort()).toEqual(described.sort());
  });

  test("fields, codes and titles in the guide are those of the answers", () => {
    const answers = section("What clients see");
    for (const name of ["RateLimit", "RateLimit-Policy", "X-RateLimit-Shadow", "Retry-After"]) {
      expect(answers).toContain(`\`${name}\``);
      expect(lua).toContain(`ngx.header["${name}"]`);
    }
    for (const code of ["SlowDown", "EntityTooLarge", "AccessDenied", "InvalidAccessKeyId"]) {
      expect(answers).toContain(code);
      expect(lua).toContain(`"${code}"`);
    }
  });

  test("the traps name guards that are there", () => {
    expect(section("Five traps of pgmoon").match(/^\| [a-zS]/gm)).toHaveLength(6);
    const connection = read("src/gateway/lua/qos/database/connection.lua");
    for (const guard of ["listen", "is_idle", "use_plain_scram", "check_name", "pool_name"]) {
      expect(connection).toContain(`local function ${guard}(`);
    }
  });
});

describe("the client", () => {
  test("every error in the guide is exported", () => {
    const told = [...section("Errors").matchAll(/`(\w+Error)`/g)].map(([, name = ""]) => name);
    expect(told.length).toBeGreaterThan(7);
    for (const name of told) expect(client).toHaveProperty(name);
  });

  test("every call in the guide is a method, every option and hook is one", () => {
    const calls = firstColumn(section("TypeScript")).map((call) => call.split("(")[0] ?? "");
    expect(calls.length).toBeGreaterThan(7);
    for (const call of calls) expect(Limiter.prototype).toHaveProperty(call);
    const options = read("src/client/options/limiter-options.ts");
    for (const name of [
      "connection",
      "apiKey",
      "application",
      "closeOnSigterm",
      "idleMs",
      "pollMs",
    ]) {
      expect(guide).toContain(name);
      expect(options).toContain(`readonly ${name}?`.replace("connection?", "connection"));
    }
    for (const [, hook = ""] of guide.matchAll(/`(?:hooks\.)?(on[A-Z]\w+)`/g)) {
      expect(options).toContain(`readonly ${hook}?`);
    }
  });

  test("every policy in the guide is one", () => {
    const policies = firstColumn(section("When the database is away"));
    expect(policies.sort()).toEqual(["closed", "fair_share", "open"]);
    for (const policy of policies)
      expect(read("src/client/decisions/outage.ts")).toContain(`"${policy}"`);
  });
});

test("compose's ports and secrets are as the guide says, and so is how it was validated", () => {
  const compose = section("Everything with docker-compose");
  const file = read("docker-compose.yml");
  expect(file).toContain("8080:8080");
  expect(file).toContain("127.0.0.1:5678:5678");
  expect(compose).toContain("Not run: the images");
});
