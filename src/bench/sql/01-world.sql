-- The world that the benchmark decides in: groups of applications that are alike. An application
-- and its key are found by group and number, so that a load generator needs no list of them:
--   app_id: md5(group || ' ' || number)::uuid
--   key:    'qos_' || lpad(group || '-' || number, 43, 'k')
-- Quotas are so large that nothing is denied by chance: a benchmark measures one answer at a time.

create schema bench;
grant usage on schema bench to public;

create table bench.groups (
  name text primary key,
  has_bandwidth boolean not null,
  shares_layer1 boolean not null,
  is_empty boolean not null,
  iops integer not null,
  bandwidth bigint not null,
  most integer
);
insert into bench.groups values
  ('full', true, true, false, 1000000, 1e10, null),
  ('alone', true, false, false, 1000000, 1e10, null),
  ('plain', false, false, false, 1000000, 1e10, null),
  ('denied', true, true, true, 1000000, 1e10, null),
  -- More than a client can check in its memory.
  ('lease', true, true, false, 500000000, 1e13, 1);

create function bench.add_cluster() returns uuid
language plpgsql
as $$
declare
  cluster uuid;
  config uuid;
begin
  insert into rate_limiter.clusters (name, region)
  values ('bench', 'bench')
  returning cluster_id into cluster;

  insert into rate_limiter.quota_configs (cluster_id, valid_from)
  values (cluster, '2020-01-01')
  returning config_id into config;

  insert into rate_limiter.iops_quotas
    (config_id, iops_limit, iops_burst, burst_duration_seconds, refill_rate)
  values (config, 2000000000, 2000000000, 60, 2000000000);
  insert into rate_limiter.bandwidth_quotas
    (config_id, bandwidth_limit_bps, bandwidth_burst_bps, burst_duration_seconds, refill_rate_bps)
  values (config, 4e15, 4e15, 60, 4e15);
  return cluster;
end;
$$;

-- What the floor of a full decision takes from: stripes of no cluster, made ahead.
insert into rate_limiter_internal.layer1_stripes (shard_key, stripe, expires_at, iops, bytes)
select 0, stripe, 'infinity', 0, 0
from generate_series(0, 31) as stripe;

create function bench.add_applications(
  kind bench.groups,
  tenant uuid,
  cluster uuid,
  first integer,
  last integer
)
returns void
language sql
as $$
  -- Triggers set the shard key, where they run.
  insert into rate_limiter.applications (app_id, tenant_id, cluster_id, shard_key, name)
  select
    md5(kind.name || ' ' || n)::uuid, tenant, case when kind.shares_layer1 then cluster end,
    (select c.shard_key from rate_limiter.clusters as c where c.cluster_id = cluster),
    kind.name || ' ' || n
  from generate_series(first, last) as n;

  insert into rate_limiter_private.api_keys (key_hash, app_id, shard_key, prefix)
  select
    sha256(convert_to('qos_' || lpad(kind.name || '-' || n, 43, 'k'), 'UTF8')),
    a.app_id, a.shard_key, 'qos_kkkkkkkk'
  from generate_series(first, last) as n
  join rate_limiter.applications as a on a.app_id = md5(kind.name || ' ' || n)::uuid;

  insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override, valid_from)
  select o.operation_id, md5(kind.name || ' ' || n)::uuid, 1.5, '2020-01-01'
  from generate_series(first, last) as n
  cross join rate_limiter.operation_types as o
  where kind.has_bandwidth and o.name = 'read_small';

  insert into rate_limiter.quota_configs (config_id, app_id, valid_from)
  select
    md5(kind.name || ' quota ' || n)::uuid, md5(kind.name || ' ' || n)::uuid, '2020-01-01'
  from generate_series(first, last) as n;

  insert into rate_limiter.iops_quotas
    (config_id, iops_limit, iops_burst, burst_duration_seconds, refill_rate)
  select md5(kind.name || ' quota ' || n)::uuid, kind.iops, kind.iops * 2, 60, kind.iops
  from generate_series(first, last) as n;

  insert into rate_limiter.bandwidth_quotas
    (config_id, bandwidth_limit_bps, bandwidth_burst_bps, burst_duration_seconds, refill_rate_bps)
  select md5(kind.name || ' quota ' || n)::uuid, kind.bandwidth, kind.bandwidth * 2, 60, kind.bandwidth
  from generate_series(first, last) as n
  where kind.has_bandwidth;
$$;

-- A bucket reads its quota when it is first charged. That is not measured.
create function bench.draw_on_each(kind bench.groups, first integer, last integer) returns bigint
language sql
as $$
  select count(rate_limiter.consume(md5(kind.name || ' ' || n)::uuid, 'read_small', 4096))
  from generate_series(first, last) as n;
$$;

-- Thirty days of refill in debt: these buckets stay empty for as long as a run takes.
create function bench.empty_buckets(kind bench.groups, first integer, last integer) returns void
language sql
as $$
  update rate_limiter.token_buckets as b
  set current_tokens = -2592000 * b.refill_rate::numeric
  from generate_series(first, last) as n
  where b.shard_key = rate_limiter_internal.shard_key_of(md5(kind.name || ' ' || n)::uuid)
    and b.owner_id = md5(kind.name || ' ' || n)::uuid
    and kind.is_empty;
$$;

-- Commits in between: versions of the shared layer-1 buckets that one transaction piles up cannot
-- be pruned before it ends.
create procedure bench.make_world(applications integer)
language plpgsql
as $$
declare
  kind bench.groups;
  tenant uuid;
  cluster uuid;
  wanted integer;
  highest integer;
  step constant integer := 50;
begin
  cluster := bench.add_cluster();
  insert into rate_limiter.tenants (name) values ('bench') returning tenant_id into tenant;
  for kind in select * from bench.groups loop
    wanted := least(applications, kind.most);
    for lowest in 1 .. wanted by step loop
      highest := least(lowest + step - 1, wanted);
      perform bench.add_applications(kind, tenant, cluster, lowest, highest);
      perform bench.draw_on_each(kind, lowest, highest);
      commit;
    end loop;
    perform bench.empty_buckets(kind, 1, wanted);
  end loop;
end;
$$;

-- Many more applications of the group `full`, once. Their facts, costs and buckets are copied and
-- no trigger runs: a million quotas made one by one would take hours, and the rows are the same.
create function bench.grow(first integer, last integer) returns void
language plpgsql
as $$
declare
  kind bench.groups;
  tenant uuid;
  cluster uuid;
begin
  if exists (select from rate_limiter.applications where app_id = md5('full ' || last)::uuid) then
    return;
  end if;
  select g.* into kind from bench.groups as g where g.name = 'full';
  select a.tenant_id, a.cluster_id into tenant, cluster
  from rate_limiter.applications as a
  where a.app_id = md5('full 1')::uuid;

  perform set_config('session_replication_role', 'replica', true);
  perform bench.add_applications(kind, tenant, cluster, first, last);
  insert into rate_limiter.app_facts
  select (jsonb_populate_record(f, jsonb_build_object('app_id', md5('full ' || n)::uuid))).*
  from generate_series(first, last) as n
  join rate_limiter.app_facts as f on f.app_id = md5('full 1')::uuid;
  insert into rate_limiter.app_costs (
    shard_key, app_id, operation, valid_from, c_base, c_bw, unit_quantum, rule_id
  )
  select c.shard_key, r.app_id, c.operation, c.valid_from, c.c_base, c.c_bw, c.unit_quantum, r.rule_id
  from generate_series(first, last) as n
  join rate_limiter.cost_rules as r on r.app_id = md5('full ' || n)::uuid
  join rate_limiter.app_costs as c on c.app_id = md5('full 1')::uuid;
  insert into rate_limiter.token_buckets (
    shard_key, owner_id, bucket_type, mode, calculation_method, allow_oversize,
    burst_duration_seconds, quota_valid_until, last_refill_at, refill_rate, config_id, capacity, current_tokens
  )
  select
    b.shard_key, md5('full ' || n)::uuid, b.bucket_type, b.mode, b.calculation_method, b.allow_oversize,
    b.burst_duration_seconds, b.quota_valid_until, now(), b.refill_rate,
    md5('full quota ' || n)::uuid, b.capacity, b.capacity
  from generate_series(first, last) as n
  join rate_limiter.token_buckets as b on b.owner_id = md5('full 1')::uuid;
  perform set_config('session_replication_role', 'origin', true);
end;
$$;

-- As many applications in all as are asked for, most of them grown: each was charged once, as in
-- make_world(), and has what that wrote.
create procedure bench.make_large_world(applications integer)
language plpgsql
as $$
declare
  made constant integer := 50;
  step constant integer := 1000;
  kind bench.groups;
begin
  call bench.make_world(least(made, applications));
  select g.* into kind from bench.groups as g where g.name = 'full';
  for lowest in made + 1 .. applications by step loop
    perform bench.grow(lowest, least(lowest + step - 1, applications));
    perform bench.draw_on_each(kind, lowest, least(lowest + step - 1, applications));
    commit;
  end loop;
end;
$$;
