import { expect, test } from "vitest";
import { createDatabase } from "../harness/index.ts";
import { fixtureFiles } from "./fixture-files.ts";

const database = await createDatabase();

/** Functions that gateways reach, by themselves or through others. */
const dataPlane =
  /^rate_limiter\/|^rate_limiter_internal\/(costs|decisions|leases|settlement|layer1|buckets|denials|api_keys)\//;

test("hints of decisions name only relations that a gateway may read", async () => {
  const hidden = await database.sql<{ name: string }[]>`
    select distinct c.relname::text as name
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname like 'rate\\_limiter%'
      and c.relkind in ('r', 'p', 'v', 'm')
      -- A single word is one of English as well.
      and c.relname like '%\\_%'
      and not has_table_privilege('rate_limiter_app', c.oid, 'select')
  `;
  const hints = fixtureFiles()
    .filter(({ path }) => dataPlane.test(path))
    .flatMap(({ text }) => [...text.matchAll(/hint = ('[^']*(?:'\s*'[^']*)*')/g)])
    .map(([, hint = ""]) => hint);
  expect(hints.length).toBeGreaterThan(20);
  const names = new Set(hidden.map(({ name }) => name));
  const wrong = hints.filter((hint) => (hint.match(/\w+/g) ?? []).some((word) => names.has(word)));
  expect(wrong).toEqual([]);
});
