import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { committedFiles, fixtureFiles, toolFiles } from "./fixture-files.ts";

/** A row of the catalogue: | QS404 | unknown application | what it means, what to do | */
const row = /^\| *`?(QS\d{3})`? *\| *`?([^|`]+?)`? *\|/gm;
const raise = /\braise exception using\b(.*?);\n/gs;

function documented(): string[] {
  const text = readFileSync(projectPath("docs/errors.md"), "utf8");
  return [...text.matchAll(row)].map(([, code, message]) => `${code} ${message}`);
}

function raised(text: string): string[] {
  return [...text.matchAll(raise)].map(([, options = ""]) => {
    const code = /errcode = '([^']+)'/.exec(options)?.[1];
    const message = /message = '([^']+)'/.exec(options)?.[1];
    return `${code} ${message}`;
  });
}

const files = [...fixtureFiles(), ...committedFiles(), ...toolFiles()];
const all = [...new Set(files.flatMap((file) => raised(file.text)))].sort();

describe("docs/errors.md", () => {
  test("lists every error that SQL raises", () => {
    const known = documented();
    expect(all.filter((pair) => !known.includes(pair))).toEqual([]);
  });

  test("lists no error that SQL never raises, and none twice", () => {
    const known = documented();
    expect(known.filter((pair) => !all.includes(pair))).toEqual([]);
    expect(known.filter((pair, index) => known.indexOf(pair) !== index)).toEqual([]);
  });
});

describe("errors of SQL", () => {
  test("carry a code of the class QS and a lower-case message that is always the same", () => {
    const wellFormed = /^QS(400|401|403|404|409|410|422|425|429|503) [a-z0-9][^A-Z]*$/;
    expect(all.filter((pair) => !wellFormed.test(pair))).toEqual([]);
  });

  test("are raised in one form, which is the one that is checked here", () => {
    const others = files.flatMap((file) => {
      const exceptions = file.text.match(/\braise exception\b/g)?.length ?? 0;
      return exceptions === raised(file.text).length ? [] : [file.path];
    });
    expect(others).toEqual([]);
  });
});
