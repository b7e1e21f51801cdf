-- The bodies live in db/fixtures; their digests show that one has changed.
select p.oid::regprocedure::text as key, format(
  E'create %s %s%s\n  language %s%s%s%s%s%s;\n  -- body %s',
  case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
  format(
    '%I.%I(%s)', p.pronamespace::regnamespace, p.proname, pg_get_function_arguments(p.oid)
  ),
  E'\n  returns ' || pg_get_function_result(p.oid),
  l.lanname,
  case p.prokind when 'f' then
    case p.provolatile when 'i' then ' immutable' when 's' then ' stable' else ' volatile' end
  else '' end,
  case p.prokind when 'f' then
    case p.proparallel when 's' then ' parallel safe' when 'r' then ' parallel restricted'
      else ' parallel unsafe' end
  else '' end,
  case when p.proisstrict then ' strict' else '' end,
  case when p.prosecdef then ' security definer' else '' end,
  (select string_agg(E'\n  set ' || setting, '') from unnest(p.proconfig) as setting),
  left(encode(sha256(convert_to(
    coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), 'UTF8'
  )), 'hex'), 16)
) as line
from pg_proc as p
join pg_language as l on l.oid = p.prolang
where starts_with(p.pronamespace::regnamespace::text, 'rate_limiter');
