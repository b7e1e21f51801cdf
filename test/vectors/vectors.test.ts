import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { runFile } from "../../src/vectors/run-file.ts";
import { createDatabase } from "../harness/index.ts";
import { sharedVectors } from "../shared.ts";

describe("SQL answers the golden vectors exactly", () => {
  if (sharedVectors.length === 0) it.skip("../shared/vectors is not here");

  it.each(sharedVectors.map((path) => [basename(path), path]))("%s", async (_name, path) => {
    const database = await createDatabase();
    const json = readFileSync(path, "utf8");
    const file = JSON.parse(json);
    const answers = await runFile(database.as("rate_limiter_owner"), file, json);
    expect(answers).toEqual(file.expect);
  });
});
