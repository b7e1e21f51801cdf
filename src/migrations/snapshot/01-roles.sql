select '1' as key, format(
  'create role %I %s %s;',
  rolname,
  case when rolcanlogin then 'login' else 'nologin' end,
  case when rolinherit then 'inherit' else 'noinherit' end
) || case when rolsuper or rolbypassrls then ' -- bypasses row security' else '' end as line
from pg_roles
where starts_with(rolname, 'rate_limiter_')

union all

select '2', format('grant %I to %I;', granted.rolname, member.rolname)
from pg_auth_members as a
join pg_roles as granted on granted.oid = a.roleid
join pg_roles as member on member.oid = a.member
where starts_with(granted.rolname, 'rate_limiter_')
  and starts_with(member.rolname, 'rate_limiter_');
