import { describe, expect, test } from "vitest";
import {
  databaseOf,
  withDatabase,
  withLogin,
  withoutPassword,
  withParameter,
  withRole,
  withSessionSettings,
} from "../../src/postgres/url.ts";

const url = "postgres://login:p%40ss@host:5432/first?sslmode=require";

describe("connection URLs", () => {
  test("change their database and keep the rest", () => {
    expect(withDatabase(url, "a b/c")).toBe(
      "postgres://login:p%40ss@host:5432/a%20b%2Fc?sslmode=require",
    );
    expect(databaseOf(withDatabase(url, "a b/c"))).toBe("a b/c");
  });

  test("change their login, whatever characters it has", () => {
    const changed = new URL(withLogin(url, "o:ther", "s@c/ret"));
    expect(decodeURIComponent(changed.username)).toBe("o:ther");
    expect(decodeURIComponent(changed.password)).toBe("s@c/ret");
    expect(changed.host).toBe("host:5432");
  });

  test("start their sessions as a role, next to other options", () => {
    const first = withParameter(url, "options", "-c work_mem=8MB");
    const options = new URL(withRole(first, "rate_limiter_owner")).searchParams.get("options");
    expect(options).toBe("-c work_mem=8MB -c role=rate_limiter_owner");
    expect(withRole(url, "rate_limiter_owner")).not.toContain("+");
  });

  test("set their sessions as those of the product are, next to a role", () => {
    const options = new URL(withRole(withSessionSettings(url), "r")).searchParams.get("options");
    expect(options).toMatch(/^-c default_transaction_isolation=read\\ committed -c .* -c role=r$/);
    expect(options).toContain("-c standard_conforming_strings=on");
  });

  test("can be shown", () => {
    expect(withoutPassword(url)).toBe("postgres://login@host:5432/first?sslmode=require");
  });
});
