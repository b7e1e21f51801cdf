import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const bound = /^local (?<local>\w+) = require\("(?<module>qos\.[\w.]+)"\)(?:\.(?<field>\w+))?$/gm;

/** Modules of the gateway that a file gives a name of its own, unlike theirs or that of the field it takes. */
function renamed(text: string) {
  return [...text.matchAll(bound)]
    .map(({ groups }) => groups ?? {})
    .filter(({ local, module, field }) => local !== module?.split(".").at(-1) && local !== field)
    .map(({ local, module }) => `${local} = ${module}`);
}

test("a module of the gateway is called by its own name in every file", () => {
  const files = globSync(["src/gateway/lua/**/*.lua", "test/**/*.lua"], { cwd: projectPath(".") });
  const texts = files.map((file) => ({ file, text: readFileSync(projectPath(file), "utf8") }));
  expect(texts.flatMap(({ text }) => [...text.matchAll(bound)]).length).toBeGreaterThan(200);
  expect(
    texts.flatMap(({ file, text }) => renamed(text).map((name) => `${file}: ${name}`)),
  ).toEqual([]);
});
