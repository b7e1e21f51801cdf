import { readFileSync } from "node:fs";
import { join } from "node:path";
import { alignHistory } from "../migrations/align-history.ts";
import { refreeze } from "../migrations/refreeze.ts";
import { withConnection } from "../postgres/connect.ts";
import { withRole } from "../postgres/url.ts";

/**
 * Runs changed files of db/fixtures in the development database, all or none, and freezes the
 * chapters anew, so that the databases of tests have them too.
 */
export async function applyFixtures(
  url: string,
  root: string,
  paths: readonly string[],
): Promise<void> {
  await withConnection(withRole(url, "rate_limiter_owner"), async (sql) => {
    await sql.begin(async (transaction) => {
      for (const path of paths) {
        await transaction.unsafe(readFileSync(join(root, path), "utf8"));
      }
    });
    const folder = join(root, "db");
    refreeze(folder);
    await alignHistory(sql, folder);
  });
}
