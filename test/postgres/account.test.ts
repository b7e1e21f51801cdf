import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { canReach, serverAccount } from "../../src/postgres/account.ts";

const home = mkdtempSync(join(tmpdir(), "storage-qos-account-"));
afterAll(() => rmSync(home, { recursive: true }));
const stranger = { uid: 65_533, gid: 65_533 };

test("root runs the server as another account, other users as themselves", () => {
  const account = serverAccount();
  if (process.getuid?.() === 0) expect(account?.uid).toBeGreaterThan(0);
  else expect(account).toBeUndefined();
});

test("every folder above must let the account pass", () => {
  mkdirSync(join(home, "project"));
  const file = join(home, "project", "file");
  chmodSync(home, 0o755);
  expect(canReach(stranger, file)).toBe(true);
  chmodSync(home, 0o700);
  expect(canReach(stranger, file)).toBe(false);
  expect(canReach(undefined, file)).toBe(true);
});

test("the account's own folders are judged by its own permissions", () => {
  chmodSync(home, 0o700);
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  expect(canReach(self, join(home, "file"))).toBe(true);
});
