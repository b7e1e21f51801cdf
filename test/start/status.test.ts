import { expect, test } from "vitest";
import { describeStatus } from "../../src/start/describe-status.ts";
import { readStatus } from "../../src/start/status.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();

test("tells that the database takes no writes, and that this is not well", async () => {
  const url = new URL(database.url);
  url.searchParams.set("options", "-cdefault_transaction_read_only=on");
  const [usual, readOnly] = await Promise.all(
    [database.url, `${url}`].map((DATABASE_URL) => readStatus({ DATABASE_URL, API_PORT: "1" })),
  );
  expect(usual?.database).toMatchObject({ isReadOnly: false });
  expect(readOnly).toMatchObject({ isWell: false, database: { isReadOnly: true } });
  expect(readOnly && describeStatus(readOnly)).toContain("schema up to date, takes no writes\n");
});
