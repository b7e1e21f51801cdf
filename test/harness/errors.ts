import { expect } from "vitest";

/** What both drivers know of a server's error. */
export interface DatabaseError extends Error {
  readonly code: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** The promise must fail with this SQLSTATE, and with this message where one is given. */
export async function expectSqlState(
  promise: PromiseLike<unknown>,
  code: string,
  message?: string,
): Promise<DatabaseError> {
  const error = await failureOf(promise);
  const expected = message === undefined ? { code } : { code, message };
  expect(error).toMatchObject(expected);
  return error;
}

async function failureOf(promise: PromiseLike<unknown>): Promise<DatabaseError> {
  try {
    await promise;
  } catch (error) {
    return error as DatabaseError;
  }
  return expect.fail("the statement was expected to fail, and succeeded");
}
