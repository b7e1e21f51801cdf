import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

// No steps of a Lua pattern can be counted: their form is looked at.
test("no pattern of the gateway looks for an end from each place of a text", () => {
  const folder = projectPath("src/gateway/lua/qos");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const scripts = files.filter((name) => name.endsWith(".lua"));
  expect(scripts.length).toBeGreaterThan(40);
  const slow = scripts.flatMap((name) => [
    ...readFileSync(join(folder, name), "utf8").matchAll(
      /:(?:find|match|gmatch|gsub)\(["'](?!\^)[^"']*[+*-][^"']*\$["']/g,
    ),
  ]);
  expect(slow.map(([text]) => text)).toEqual([]);
});

describe.skipIf(missing !== undefined)("a gateway under hostile input", async () => {
  const database = await createDatabase();
  // PCRE counts the steps of a match, from each place where it may begin, and fails beyond this.
  const edit = (text: string) =>
    text.replaceAll(/^ {4}"(~\*?)(.*)" (1|"");$/gm, '    "$1(*LIMIT_MATCH=50)$2" $3;');
  const { nginx } =
    missing === undefined ? await startGateway(database, {}, { edit }) : (undefined as never);

  async function ask(path: string, headers = {}, method = "GET"): Promise<number> {
    const asking = request(nginx.url + path, { method, headers, agent: false });
    asking.on("error", () => {});
    asking.flushHeaders();
    if (method === "GET") asking.end();
    const [response] = await once(asking, "response");
    response.resume();
    asking.destroy();
    return response.statusCode;
  }

  test.each([
    ["a Referer of question marks", "/b/o", "?".repeat(7_900)],
    ["a Referer of arguments", "/b/o", "?x&".repeat(2_600)],
    ["a Referer of one long name", "/b/o", `?${"x".repeat(7_900)}`],
    ["a query of question marks", `/b/o?${"?".repeat(7_900)}`, ""],
    ["a query of one long name", `/b/o?${"x".repeat(7_900)}`, ""],
  ])("looks for keys in %s in few steps", async (_, path, Referer) => {
    const before = nginx.log().length;
    expect(await ask(path, { Referer })).toBe(401);
    // A line of the log that comes after any other.
    expect(await ask("/marker", { "Content-Length": "6000000000" }, "PUT")).toBe(413);
    await eventually(() => expect(nginx.log().slice(before)).toContain("/marker"));
    expect(
      nginx
        .log()
        .slice(before)
        .match(/pcre2?_\w+\(\) failed: -?\d+/g),
    ).toBeNull();
  });
});
