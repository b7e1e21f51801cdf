import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenVectors } from "../vectors/golden.ts";
import { answers } from "./answers.ts";

describe("the model answers the golden vectors exactly", () => {
  it.each(goldenVectors.map((path) => [basename(path), path]))("%s", (_name, path) => {
    const file = JSON.parse(readFileSync(path, "utf8"));
    expect(answers(file)).toEqual(file.expect);
  });
});
