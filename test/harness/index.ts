export { type Context, createDatabase, type TestDatabase } from "./database.ts";
export { type DatabaseError, expectSqlState } from "./errors.ts";
export { eventually } from "./eventually.ts";
export { unlessRequired } from "./required.ts";
export type { Role } from "./roles.ts";
export type { Session } from "./session.ts";
