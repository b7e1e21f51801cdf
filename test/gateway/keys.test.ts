import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const folder = projectPath("src/gateway/lua/qos");
const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".lua"))
  .map((name) => ({ name, text: readFileSync(`${folder}/${name}`, "utf8") }));

/** Calls of a shared dictionary, of a list in one and of a lock or a number in one, with the first word of the key. */
const calls =
  /(?:(?:dict|state|locks)(?:\(\))?:(?:get|set|add|incr|delete|expire|rpush|lpop|llen)|(?:ngx\.shared\.\w+|\bstate|\bdict):(?:get|set|add|incr|delete|expire|rpush|lpop|llen)|lock\.(?:try|with|release|is_held)|workers\.(?:set|add|sum))\(\s*(?:dict(?:\(\))?,\s*|ngx\.shared\.\w+,\s*)?(?<key>[^,)\n]*)/g;

function keysOf({ name, text }: (typeof files)[number]) {
  return [...text.matchAll(calls)].map(({ groups }) => ({ name, key: groups?.key ?? "" }));
}

test("keys of shared dictionaries are built in keys.lua alone", () => {
  const used = files.flatMap(keysOf);
  expect(used.length).toBeGreaterThan(100);
  expect(used.filter(({ key }) => /["']|\.\./.test(key))).toEqual([]);
});

test("each dictionary of nginx.conf has its keys in keys.lua, and each key is used", () => {
  const conf = readFileSync(projectPath("src/gateway/nginx.conf"), "utf8");
  const dictionaries = [...conf.matchAll(/lua_shared_dict (\w+)/g)].map(([, name]) => name);
  const own = files.find(({ name }) => name === "keys.lua")?.text ?? "";
  const groups = [...own.matchAll(/^_M\.(qos_\w+) = \{$(.*?)^\}$/gms)];
  expect(groups.map(([, name]) => name).sort()).toEqual(dictionaries.sort());
  const names = groups.flatMap(([, , body = ""]) =>
    [...body.matchAll(/^ {2}(\w+) = /gm)].map(([, name]) => name),
  );
  expect(names.length).toBeGreaterThan(50);
  const others = files.filter(({ name }) => name !== "keys.lua").map(({ text }) => text);
  const isUsed = (name = "") => others.some((text) => new RegExp(`\\.${name}\\b`).test(text));
  expect(names.filter((name) => !isUsed(name))).toEqual([]);
});
