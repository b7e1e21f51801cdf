select format('%I.%I', schemaname, tablename) as key, format(
  E'create policy %I on %I.%I as %s for %s to %s%s%s;',
  policyname, schemaname, tablename, lower(permissive), lower(cmd), array_to_string(roles, ', '),
  E'\n  using (' || qual || ')',
  E'\n  with check (' || with_check || ')'
) as line
from pg_policies
where starts_with(schemaname, 'rate_limiter');
