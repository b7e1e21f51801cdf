import { beforeAll, expect, test, vi } from "vitest";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { asOperator } from "../../src/cli/as-operator.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
vi.stubEnv("DATABASE_URL", database.url);
vi.stubEnv("QOS_OPERATOR", "");

beforeAll(async () => {
  await createAdministrator(database.sql);
});

test("a transaction that a deadlock undid is done again", async () => {
  let tried = 0;
  const role = await asOperator(undefined, async (sql) => {
    tried += 1;
    if (tried === 1) {
      await sql`do $$ begin raise deadlock_detected; end $$`;
    }
    const [row] = await sql<[{ role: string }]>`select current_role as role`;
    return row.role;
  });
  expect({ tried, role }).toEqual({ tried: 2, role: "rate_limiter_visitor" });
});

test("any other error is told at once", async () => {
  let tried = 0;
  const work = asOperator(undefined, async (sql) => {
    tried += 1;
    await sql`select 1 / 0`;
  });
  await expect(work).rejects.toMatchObject({ code: "22012" });
  expect(tried).toBe(1);
});
