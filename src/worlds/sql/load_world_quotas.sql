create or replace function rate_limiter_internal.load_world_quotas(world jsonb)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  epoch constant timestamptz := world ->> 'epoch';
  quota record;
  version uuid;
begin
  for quota in
    select q.*, a.app_id, c.cluster_id, d.cluster_id as default_cluster_id
    from jsonb_to_recordset(world -> 'quotas') as q (
      owner text, valid_from_us bigint, valid_to_us bigint, mode rate_limiter.quota_mode,
      is_active boolean, iops jsonb, bandwidth jsonb
    )
    left join rate_limiter.applications as a on q.owner = 'app:' || a.name
    left join rate_limiter.clusters as c on q.owner = 'cluster:' || c.name
    left join rate_limiter.clusters as d on q.owner = 'default:' || d.name
  loop
    insert into rate_limiter.quota_configs as qc
      (app_id, cluster_id, default_cluster_id, mode, valid_from, valid_to, is_active)
    values (
      quota.app_id,
      quota.cluster_id,
      quota.default_cluster_id,
      coalesce(quota.mode, 'enforce'),
      rate_limiter_internal.moment_after(epoch, quota.valid_from_us),
      rate_limiter_internal.moment_after(epoch, quota.valid_to_us),
      coalesce(quota.is_active, true)
    )
    returning qc.config_id into version;

    insert into rate_limiter.iops_quotas (
      config_id, iops_limit, iops_burst, burst_duration_seconds, refill_rate,
      calculation_method, min_reserve
    )
    select
      version, i.iops_limit, i.iops_burst, i.burst_duration_seconds,
      coalesce(i.refill_rate, i.iops_limit), coalesce(i.calculation_method, 'token_bucket'),
      coalesce(i.min_reserve, 0)
    from jsonb_populate_record(null::rate_limiter.iops_quotas, quota.iops) as i
    where quota.iops is not null;

    insert into rate_limiter.bandwidth_quotas (
      config_id, bandwidth_limit_bps, bandwidth_burst_bps, burst_duration_seconds,
      refill_rate_bps, allow_oversize
    )
    select
      version, b.bandwidth_limit_bps, b.bandwidth_burst_bps, b.burst_duration_seconds,
      coalesce(b.refill_rate_bps, b.bandwidth_limit_bps), coalesce(b.allow_oversize, true)
    from jsonb_populate_record(null::rate_limiter.bandwidth_quotas, quota.bandwidth) as b
    where quota.bandwidth is not null;
  end loop;
end;
$$;

comment on function rate_limiter_internal.load_world_quotas(jsonb) is
  'Inserts the quotas of a world. For tests and tools only: load_world() calls it.';
