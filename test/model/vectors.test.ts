import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { sharedVectors } from "../shared.ts";
import { answers } from "./answers.ts";

describe("the model answers the golden vectors exactly", () => {
  if (sharedVectors.length === 0) it.skip("../shared/vectors is not here");

  it.each(sharedVectors.map((path) => [basename(path), path]))("%s", (_name, path) => {
    const file = JSON.parse(readFileSync(path, "utf8"));
    expect(answers(file)).toEqual(file.expect);
  });
});
