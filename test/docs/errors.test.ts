import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { refusals } from "../../src/api/graphql/mask-error.ts";
import { projectPath } from "../../src/paths.ts";

const read = (path: string) => readFileSync(projectPath(path), "utf8");
const section = read("docs/errors.md").split("\n## Of the admin API alone\n")[1]?.split("\n## ")[0];
const told = [...(section ?? "").matchAll(/^\| [^|]+ \| (QS\d{3}) \| ([^|]+) \|/gm)].map(
  ([, code, message]) => `${code} ${message}`,
);

test("each error that the API makes itself is in the catalogue, and no other", () => {
  const thrown = globSync("src/api/**/*.ts", { cwd: projectPath(".") }).flatMap((path) =>
    [...read(path).matchAll(/new ApiError\(\s*"(QS\d{3})",\s*"([^"]+)"/g)].map(
      ([, code, message]) => `${code} ${message}`,
    ),
  );
  const refused = Object.values(refusals).map(([code, message]) => `${code} ${message}`);
  const others = ["QS400 filter says nothing", "QS404 nothing to change", "QS500 unexpected error"];
  expect(thrown.length).toBeGreaterThan(12);
  expect([...told].sort()).toEqual([...new Set([...thrown, ...refused, ...others])].sort());
});
