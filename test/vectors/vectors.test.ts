import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import { readVectorFile } from "../../src/vectors/read-file.ts";
import { runFile } from "../../src/vectors/run-file.ts";
import { createDatabase } from "../harness/index.ts";
import { goldenVectors } from "./golden.ts";

describe("SQL answers the golden vectors exactly", () => {
  it.each(goldenVectors.map((path) => [basename(path), path]))("%s", async (_name, path) => {
    const database = await createDatabase();
    const { file, json } = await readVectorFile(path);
    const answers = await runFile(database.as("rate_limiter_owner"), file, json);
    expect(answers).toEqual(file.expect);
  });
});
