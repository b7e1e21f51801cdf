import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import * as api from "../../src/settings/api.ts";
import * as archive from "../../src/settings/archive.ts";
import { gatewayDeclaration } from "../../src/settings/gateway.ts";
import { list, oneOf, onOrOff, port, secret, text, wholeNumber } from "../../src/settings/kinds.ts";
import * as local from "../../src/settings/local.ts";
import * as logging from "../../src/settings/logging.ts";
import { readSettings } from "../../src/settings/read-settings.ts";
import type { Declaration } from "../../src/settings/setting.ts";
import * as tracing from "../../src/settings/tracing.ts";
import * as worker from "../../src/settings/worker.ts";
import { writtenFiles } from "../../src/settings/write-settings.ts";

const says = "is made up";
const made = {
  name: text("NAME", { says, usual: "a" }),
  other: text("OTHER", { says }),
  key: secret("KEY", { says }),
  words: list("WORDS", { says, usual: [] }),
  isOn: onOrOff("IS_ON", { says, usual: true }),
  colour: oneOf("COLOUR", ["red", "blue"], { says, usual: "red" }),
  count: wholeNumber("COUNT", { says, usual: 3 }),
  port: port("PORT", { says, least: 1 }),
};

describe("a setting", () => {
  const usual = {
    ...{ name: "a", other: undefined, key: undefined, words: [] },
    ...{ isOn: true, colour: "red", count: 3, port: undefined },
  };

  test("that is not set, or empty, has its usual value", () => {
    expect(readSettings({}, made)).toEqual(usual);
    expect(readSettings({ NAME: "", COUNT: "", IS_ON: "", PORT: "" }, made)).toEqual(usual);
  });

  test("has the value of its variable", () => {
    const env = {
      ...{ NAME: "b", OTHER: "c", KEY: "d", WORDS: "one, two three" },
      ...{ IS_ON: "off", COLOUR: "blue", COUNT: "1", PORT: "65535" },
    };
    expect(readSettings(env, made)).toEqual({
      ...{ name: "b", other: "c", key: "d", words: ["one", "two", "three"] },
      ...{ isOn: false, colour: "blue", count: 1, port: 65_535 },
    });
  });

  test.each([
    ["IS_ON", "yes", "neither on nor off: yes"],
    ["COLOUR", "green", "none of red, blue: green"],
    ["COUNT", "0", "not a whole number >= 1: 0"],
    ["COUNT", "1.5", "not a whole number >= 1: 1.5"],
    ["COUNT", "9007199254740993", "not a whole number >= 1: 9007199254740993"],
    ["PORT", "0", "not a port number: 0"],
    ["PORT", "65536", "not a port number: 65536"],
  ])("%s that is %s is refused", (name, value, problem) => {
    expect(() => readSettings({ [name]: value }, made)).toThrow(
      expect.objectContaining({
        code: "setting_invalid",
        message: `invalid ${name}: ${problem}`,
      }),
    );
  });

  test("is told together with all others that are wrong", () => {
    expect(() => readSettings({ COUNT: "x", PORT: "y" }, made)).toThrow(
      "invalid COUNT: not a whole number >= 1: x; invalid PORT: not a port number: y",
    );
  });
});

const declarations: readonly Declaration[] = [api, archive, local, logging, tracing, worker]
  .flatMap((file) => Object.values(file))
  .concat(gatewayDeclaration);
const declared = new Set(
  declarations.flatMap((each) => Object.values(each).map(({ variable }) => variable)),
);
const read = (path: string) => readFileSync(projectPath(path), "utf8");

test.each(writtenFiles().map(({ path, text: wanted }) => [path, wanted]))(
  "%s says what is declared (npm run settings writes it)",
  (path, wanted) => {
    expect(read(path)).toBe(wanted);
  },
);

/** Variables that others give a meaning to. */
const ofOthers = [
  ...["GM_DBURL", "GRAPHILE_ENV", "HOME", "PATH"],
  ...["XDG_CACHE_HOME", "XDG_CONFIG_HOME"],
];

/** Programs that are no part of the product, and the client's package, which reads no environment. */
const apart = /^src\/(bench|client|dev|torture)\//;

test("every variable that the code reads is declared", () => {
  const files = readdirSync(projectPath("src"), { recursive: true, encoding: "utf8" })
    .map((path) => `src/${path}`)
    .filter((path) => path.endsWith(".ts") && !apart.test(path));
  expect(files.length).toBeGreaterThan(200);
  const found = files.flatMap((path) =>
    [...read(path).matchAll(/\benv(?:\.|, ")([A-Z][A-Z_0-9]+)\b/g)].map(([, name = ""]) => name),
  );
  expect(found.length).toBeGreaterThan(5);
  expect(found.filter((name) => !declared.has(name) && !ofOthers.includes(name))).toEqual([]);
});

test("every setting of the gateway is read, and no other variable", () => {
  const folder = "src/gateway/lua/qos";
  const files = readdirSync(projectPath(folder), { recursive: true, encoding: "utf8" });
  const reading = files.filter(
    (file) => file.endsWith(".lua") && read(`${folder}/${file}`).includes("os.getenv"),
  );
  expect(reading).toEqual(["settings/settings.lua"]);
  const names = [...read(`${folder}/settings/settings.lua`).matchAll(/"(QOS_\w+)"/g)].map(
    ([, name]) => name,
  );
  const wanted = Object.values(gatewayDeclaration).map(({ variable }) => variable);
  expect([...new Set(names)].sort()).toEqual(wanted.sort());
});
