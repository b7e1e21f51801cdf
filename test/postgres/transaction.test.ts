import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { connect, type TransactionSql } from "../../src/postgres/connect.ts";
import { inTransaction } from "../../src/postgres/transaction.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const sql = connect(database.url, { max: 1 });
afterAll(() => sql.end());

async function pidOf(transaction: TransactionSql): Promise<number> {
  const [row] = await transaction`select pg_backend_pid() as pid`;
  return row?.pid;
}

const lost = /CONNECTION_CLOSED|terminating connection/;
const end = (pid: number) => database.sql`select pg_terminate_backend(${pid})`;

test("a transaction answers what its work does, or undoes it", async () => {
  await sql`create table kept (n integer)`;
  expect(await inTransaction(sql, (transaction) => transaction`select 1 as n`)).toEqual([{ n: 1 }]);
  const failing = inTransaction(sql, async (transaction) => {
    await transaction`insert into kept values (1)`;
    throw new Error("no");
  });
  await expect(failing).rejects.toThrow("no");
  const refused = inTransaction(sql, (transaction) => transaction`insert into nowhere values (1)`);
  await expect(refused).rejects.toMatchObject({ code: "42P01" });
  expect(await sql`select from kept`).toHaveLength(0);
});

// What the library would write to the lost connection is an error of this whole process.
test("a connection that is lost fails its transaction, and nothing else", async () => {
  const within = inTransaction(sql, async (transaction) => {
    const pid = await pidOf(transaction);
    await Promise.all([transaction`select pg_sleep(60)`, end(pid)]);
  });
  await expect(within).rejects.toThrow(lost);
  let failLate = () => {};
  const between = inTransaction(sql, async (transaction) => {
    await end(await pidOf(transaction));
    await new Promise((_, reject) => {
      failLate = () => reject(new Error("late"));
    });
  });
  await expect(between).rejects.toThrow(lost);
  failLate();
  await sleep(100);
  expect(await sql`select 1 as n`).toEqual([{ n: 1 }]);
});
