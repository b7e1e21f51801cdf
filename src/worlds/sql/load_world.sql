create or replace function rate_limiter_internal.load_world(world jsonb)
returns jsonb
language plpgsql
volatile
parallel unsafe
as $$
begin
  if exists (select from rate_limiter.tenants) then
    raise exception using
      errcode = 'QS409',
      message = 'world needs an empty database',
      hint = 'Load it into a new database: it changes settings and costs of all tenants.';
  end if;

  insert into rate_limiter.tenants (name)
  select distinct coalesce(a.tenant, 'world')
  from jsonb_to_recordset(world -> 'applications') as a (tenant text);

  insert into rate_limiter.clusters (name, region)
  select distinct named.cluster, 'world'
  from (
    select a.cluster
    from jsonb_to_recordset(world -> 'applications') as a (cluster text)
    union
    select substring(q.owner from '^(?:cluster|default):(.+)$')
    from jsonb_to_recordset(world -> 'quotas') as q (owner text)
  ) as named (cluster)
  where named.cluster is not null;

  insert into rate_limiter.applications (tenant_id, cluster_id, name)
  select t.tenant_id, c.cluster_id, a.name
  from jsonb_to_recordset(world -> 'applications') as a (name text, cluster text, tenant text)
  join rate_limiter.tenants as t on t.name = coalesce(a.tenant, 'world')
  left join rate_limiter.clusters as c on c.name = a.cluster;

  perform rate_limiter_internal.load_world_settings(world);
  perform rate_limiter_internal.load_world_costs(world);
  perform rate_limiter_internal.load_world_quotas(world);
  perform rate_limiter_internal.load_world_reservations(world);

  return jsonb_build_object(
    'applications', (select jsonb_object_agg(a.name, a.app_id) from rate_limiter.applications as a),
    'clusters', (select jsonb_object_agg(c.name, c.cluster_id) from rate_limiter.clusters as c)
  );
end;
$$;

comment on function rate_limiter_internal.load_world(jsonb) is
  'Fills an empty database with the world of a vector file or a replay, and answers the '
  'identifiers of its applications and clusters by name. For tests and tools only.';
