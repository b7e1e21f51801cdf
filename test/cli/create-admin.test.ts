import { expect, test, vi } from "vitest";
import { createDatabase } from "../harness/index.ts";
import { runInProcess } from "./in-process.ts";

const database = await createDatabase();
vi.stubEnv("DATABASE_URL", database.url);

test("an address that is none is refused by the name of its rule, and no row is printed", async () => {
  vi.stubEnv("QOS_ADMIN_PASSWORD", "correct horse battery staple");
  const { code, stdout, stderr } = await runInProcess("create-admin", "--email", "bad");
  expect(code).toBe(1);
  expect(stderr).toContain("user_email_format");
  expect(stdout + stderr).not.toMatch(/failing row|\(.*bad.*\)|scrypt/i);
});
