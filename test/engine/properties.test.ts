import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createDatabase } from "../harness/index.ts";
import { answers, type Step } from "../model/answers.ts";
import { scenarios } from "../model/generators.ts";
import type { World } from "../model/world.ts";
import { sqlAnswers } from "../vectors/sql-answers.ts";
import { counterexamples } from "./counterexamples.ts";

type Scenario = World & { steps: Step[] };

const database = await createDatabase();
const RUNS = 200;

/** Every answer equal to the last digit, and a ledger that explains every bucket. */
async function agrees(scenario: Scenario): Promise<void> {
  const answered = await sqlAnswers(database.as("rate_limiter_owner"), scenario, async (sql) => {
    const gaps = await sql`
      select * from rate_limiter.verify_ledger()
    `;
    expect(gaps).toEqual([]);
  });
  expect(answered).toEqual(answers(scenario));
}

describe("SQL and the model", () => {
  test("agree on random worlds and calls", { timeout: 120_000 }, async () => {
    await fc.assert(fc.asyncProperty(scenarios(), agrees), { numRuns: RUNS });
  });

  test.each(counterexamples)("agree on $name", async ({ scenario }) => {
    await agrees(scenario);
  });
});
