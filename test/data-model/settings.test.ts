import { expect, test } from "vitest";
import { createDatabase } from "../harness/index.ts";

const { sql } = await createDatabase();

test("every setting does something: a function reads it, or a retention policy does", async () => {
  const idle = await sql<{ key: string }[]>`
    select s.key
    from rate_limiter.system_settings as s
    where not exists (
        select from pg_proc as p
        where starts_with(p.pronamespace::regnamespace::text, 'rate_limiter')
          and p.prosrc ~ format('''%s''', s.key)
      )
      and not exists (
        select from pg_trigger as t where pg_get_triggerdef(t.oid) ~ format('''%s''', s.key)
      )
      and not exists (
        select from rate_limiter.retention_policies as r where r.setting_key = s.key
      )
    order by s.key
  `;
  expect(idle.map((row) => row.key)).toEqual([]);
});
