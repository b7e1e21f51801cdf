--! Previous: sha1:de573278bddbadb7d502f82b316e9a02f2ab700e
--! Hash: sha1:146619005b53791b9ca4212967ec77cdf7fb57a0
--! Message: ceilings and suspensions

-- Ceilings
--! Included rate_limiter_internal/ceilings/lock_ceilings.sql
create or replace function rate_limiter_internal.lock_ceilings(tenant_ids uuid[])
returns void
language sql
volatile
parallel unsafe
as $$
  select
  from (
    select
    from rate_limiter.tenant_ceilings as c
    where c.tenant_id = any (tenant_ids)
    order by c.tenant_id, c.ceiling_id
    for no key update
  ) as locked;
$$;

comment on function rate_limiter_internal.lock_ceilings(uuid[]) is
  'Locks the ceilings of tenants until the end of the transaction, so that what two transactions '
  'add fits together. They come after clusters and applications in the lock order of chapter '
  'buckets, and before buckets.';
--! EndIncluded rate_limiter_internal/ceilings/lock_ceilings.sql
--! Included rate_limiter_internal/ceilings/ceiling_binds.sql
create or replace function rate_limiter_internal.ceiling_binds(
  tenant_id uuid,
  cluster_id uuid,
  is_bandwidth boolean
)
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
    select
    from rate_limiter.tenant_ceilings as c
    where c.tenant_id = ceiling_binds.tenant_id
      and (c.cluster_id is null or c.cluster_id = ceiling_binds.cluster_id)
      and case when is_bandwidth then c.bandwidth_limit_bps else c.iops_limit end is not null
  );
$$;

comment on function rate_limiter_internal.ceiling_binds(uuid, uuid, boolean) is
  'Whether a ceiling of a kind binds a tenant''s applications on a cluster.';
--! EndIncluded rate_limiter_internal/ceilings/ceiling_binds.sql
--! Included rate_limiter_internal/ceilings/needs_quota.sql
create or replace function rate_limiter_internal.needs_quota(
  tenant_id uuid,
  cluster_id uuid,
  is_bandwidth boolean
)
returns boolean
language sql
stable
parallel safe
-- Planned once a session: a batch asks this for each of its entries.
set plan_cache_mode = 'force_generic_plan'
as $$
  select rate_limiter_internal.setting_text('without_quota') = 'deny'
    or rate_limiter_internal.ceiling_binds(tenant_id, cluster_id, is_bandwidth)
    -- Without a cluster there is no layer 1: any ceiling of the tenant is reason enough.
    or needs_quota.cluster_id is null and exists (
      select
      from rate_limiter.tenant_ceilings as c
      where c.tenant_id = needs_quota.tenant_id
        and case when is_bandwidth then c.bandwidth_limit_bps else c.iops_limit end is not null
    );
$$;

comment on function rate_limiter_internal.needs_quota(uuid, uuid, boolean) is
  'Whether a tenant''s applications on a cluster are denied while they have no quota of a kind in '
  'force: under a ceiling of that kind, or by the setting without_quota. Of applications without a '
  'cluster: under any ceiling of the tenant.';
--! EndIncluded rate_limiter_internal/ceilings/needs_quota.sql
--! Included rate_limiter_internal/ceilings/sync_needed_quotas.sql
create or replace function rate_limiter_internal.sync_needed_quotas(tenant_id uuid default null)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  changed uuid[];
begin
  perform
  from rate_limiter.applications as a
  where sync_needed_quotas.tenant_id is null or a.tenant_id = sync_needed_quotas.tenant_id
  order by a.app_id
  for no key update;

  with needed as (
    select
      owners.tenant_id,
      owners.cluster_id,
      rate_limiter_internal.needs_quota(owners.tenant_id, owners.cluster_id, false) as iops,
      rate_limiter_internal.needs_quota(owners.tenant_id, owners.cluster_id, true) as bandwidth
    from (
      select distinct o.tenant_id, o.cluster_id
      from rate_limiter.applications as o
      where sync_needed_quotas.tenant_id is null or o.tenant_id = sync_needed_quotas.tenant_id
    ) as owners
  ),
  written as (
    update rate_limiter.app_facts as f
    set
      needs_iops_quota = n.iops,
      needs_bandwidth_quota = n.bandwidth
    from needed as n
    join rate_limiter.applications as a
      on a.tenant_id = n.tenant_id and a.cluster_id is not distinct from n.cluster_id
    where f.app_id = a.app_id
      and (f.needs_iops_quota, f.needs_bandwidth_quota) <> (n.iops, n.bandwidth)
    returning f.tenant_id
  )
  select array_agg(distinct w.tenant_id) into changed from written as w;
  perform rate_limiter_internal.notify_tenants(changed);
end;
$$;

comment on function rate_limiter_internal.sync_needed_quotas(uuid) is
  'Writes into the facts of the applications of a tenant, or of all, of which kinds they need a '
  'quota, and tells the clients of those whose do.';
--! EndIncluded rate_limiter_internal/ceilings/sync_needed_quotas.sql
--! Included rate_limiter_internal/ceilings/held_by_debt.sql
create or replace function rate_limiter_internal.held_by_debt(at timestamptz, tenant_id uuid)
returns table (
  cluster_id uuid,
  is_bandwidth boolean,
  moment timestamptz,
  limits numeric,
  bursts numeric,
  capacities numeric
)
language sql
stable
parallel safe
as $$
  with owing as materialized (
    select
      a.app_id, a.cluster_id, a.is_active, kind.is_bandwidth,
      -- What it had counts from then on, and until then: null while it is not known when.
      case when (s.bucket).current_tokens < 0 then least(terms.ended_at - debt.most, loans.since)
        else loans.since
      end as since,
      case when not loans.are_open and paid.moment <= (s.bucket).quota_valid_until
        then paid.moment
      end as until
    from rate_limiter.applications as a
    join rate_limiter.token_buckets as b
      on b.shard_key = a.shard_key
      and b.owner_id = a.app_id
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      and b.mode = 'enforce'
      and (
        b.current_tokens < 0
        or exists (
          select
          from rate_limiter.token_borrowing as l
          where l.shard_key = b.shard_key
            and l.owner_id = b.owner_id
            and l.bucket_type = b.bucket_type
            and l.status = 'active'
        )
      )
    cross join lateral rate_limiter_internal.bucket_at(at, b) as s
    cross join lateral (
      select rate_limiter_internal.is_bandwidth(b.bucket_type) as is_bandwidth
    ) as kind
    cross join lateral (
      select make_interval(secs => e.max_debt_seconds) as most
      from rate_limiter_internal.engine_settings as e
    ) as debt
    cross join lateral (
      select at + make_interval(
        secs => rate_limiter_internal.debt_seconds(at, s.bucket)::double precision
      ) as moment
    ) as paid
    -- Without a quota in force: when the last one ended.
    cross join lateral (
      select case when (s.bucket).capacity is not null then at else (
        select max(c.valid_to)
        from rate_limiter.quota_configs as c
        cross join lateral rate_limiter_internal.quota_parts(c.config_id) as p
        where c.owner_id in (a.app_id, a.cluster_id)
          and c.mode = 'enforce'
          and c.is_active
          and c.cluster_id is null
          and c.valid_to <= at
          and p.is_bandwidth = kind.is_bandwidth
      ) end as ended_at
    ) as terms
    cross join lateral (
      select
        coalesce(bool_or(l.status = 'active'), false) as are_open,
        min(l.borrowed_at) as since
      from rate_limiter.token_borrowing as l
      where l.shard_key = b.shard_key
        and l.owner_id = b.owner_id
        and l.bucket_type = b.bucket_type
        and (
          l.status = 'active'
          or l.status = 'defaulted' and l.repaid_at > terms.ended_at - debt.most
        )
    ) as loans
    where a.tenant_id = held_by_debt.tenant_id
      and (loans.are_open or (s.bucket).current_tokens < 0)
  ),
  moments as (
    select o.*, m.moment
    from owing as o
    cross join lateral (
      select o.since as moment
      union
      select at
      union
      select ends.moment
      from rate_limiter.quota_configs as c
      cross join lateral (values (c.valid_from), (c.valid_to)) as ends (moment)
      where c.owner_id in (o.app_id, o.cluster_id)
        and c.mode = 'enforce'
        and c.is_active
        and c.cluster_id is null
        and coalesce(c.valid_to, 'infinity') > o.since
        and ends.moment > o.since
        and (o.until is null or ends.moment < o.until)
    ) as m
  ),
  quotas as (
    select
      m.app_id, m.cluster_id, m.is_active, m.is_bandwidth, m.moment,
      coalesce(q.quota_limit, 0) as limits,
      coalesce(q.burst, 0) as bursts,
      coalesce(q.capacity, 0) as capacities
    from moments as m
    left join lateral (
      select p.*
      from rate_limiter.quota_configs as c
      cross join lateral rate_limiter_internal.quota_parts(c.config_id) as p
      where c.owner_id in (m.app_id, m.cluster_id)
        and c.mode = 'enforce'
        and c.is_active
        and c.cluster_id is null
        and c.valid_from <= m.moment
        and (c.valid_to is null or c.valid_to > m.moment)
        and p.is_bandwidth = m.is_bandwidth
      order by c.default_cluster_id nulls first
      limit 1
    ) as q on true
  ),
  most as (
    select
      q.app_id, q.is_bandwidth, max(q.limits) as limits, max(q.bursts) as bursts,
      max(q.capacities) as capacities
    from quotas as q
    where q.moment <= at
    group by q.app_id, q.is_bandwidth
  ),
  -- Beyond its quota in force, which counts by itself.
  held as (
    select
      q.app_id, q.cluster_id, q.is_bandwidth, q.moment,
      greatest(most.limits - counted.share * q.limits, 0) as limits,
      greatest(most.bursts - counted.share * q.bursts, 0) as bursts,
      greatest(most.capacities - counted.share * q.capacities, 0) as capacities
    from quotas as q
    join most on most.app_id = q.app_id and most.is_bandwidth = q.is_bandwidth
    cross join lateral (select q.is_active::integer as share) as counted
    where q.moment >= at
    union all
    select o.app_id, o.cluster_id, o.is_bandwidth, o.until, 0, 0, 0
    from owing as o
    where o.until > at
  )
  select
    h.cluster_id, h.is_bandwidth, h.moment,
    h.limits - lag(h.limits, 1, 0::numeric) over by_time,
    h.bursts - lag(h.bursts, 1, 0::numeric) over by_time,
    h.capacities - lag(h.capacities, 1, 0::numeric) over by_time
  from held as h
  window by_time as (partition by h.app_id, h.is_bandwidth order by h.moment);
$$;

comment on function rate_limiter_internal.held_by_debt(timestamptz, uuid) is
  'What the applications of a tenant that owe, a debt or a loan, hold of its ceilings beyond their '
  'quotas in force, as it changes from a moment on: the most of what they had since they borrowed, '
  'or in debt within max_debt_seconds (without a quota: before the last one ended), until all of '
  'it is paid, or for good while it is not known when. Otherwise a tenant would leave its debts '
  'with one application and give the quota to the next.';
--! EndIncluded rate_limiter_internal/ceilings/held_by_debt.sql
--! Included rate_limiter_internal/ceilings/ceiling_use.sql
create or replace function rate_limiter_internal.ceiling_use(at timestamptz, tenant_id uuid)
returns table (
  ceiling_id uuid,
  is_bandwidth boolean,
  moment timestamptz,
  limits numeric,
  bursts numeric,
  capacities numeric
)
language sql
stable
parallel safe
as $$
  with apps as materialized (
    select a.app_id, a.cluster_id
    from rate_limiter.applications as a
    where a.tenant_id = ceiling_use.tenant_id and a.is_active
  ),
  hosted as (
    select a.cluster_id, count(*) as apps from apps as a group by a.cluster_id
  ),
  -- What is added and taken at a moment: by quotas of applications, which leave one application
  -- less to the default, and by the default of a cluster.
  events as (
    select
      a.cluster_id, p.is_bandwidth, ends.moment, ends.sign as own, 0 as defaults,
      ends.sign * p.quota_limit as limits, ends.sign * p.burst as bursts,
      ends.sign * p.capacity as capacities
    from apps as a
    join rate_limiter.quota_configs as c on c.owner_id = a.app_id
    cross join lateral rate_limiter_internal.quota_parts(c.config_id) as p
    cross join lateral (
      values (greatest(c.valid_from, at), 1), (c.valid_to, -1)
    ) as ends (moment, sign)
    where c.mode = 'enforce'
      and c.is_active
      and (c.valid_to is null or c.valid_to > at)
      and ends.moment is not null
    union all
    select
      h.cluster_id, p.is_bandwidth, ends.moment, 0, ends.sign,
      ends.sign * p.quota_limit, ends.sign * p.burst, ends.sign * p.capacity
    from hosted as h
    join rate_limiter.quota_configs as c on c.default_cluster_id = h.cluster_id
    cross join lateral rate_limiter_internal.quota_parts(c.config_id) as p
    cross join lateral (
      values (greatest(c.valid_from, at), 1), (c.valid_to, -1)
    ) as ends (moment, sign)
    where c.is_active
      and (c.valid_to is null or c.valid_to > at)
      and ends.moment is not null
  ),
  standing as (
    select
      e.cluster_id, e.is_bandwidth, e.moment,
      sum(sum(e.own)) over by_time as own,
      sum(sum(e.limits * abs(e.own))) over by_time as own_limits,
      sum(sum(e.bursts * abs(e.own))) over by_time as own_bursts,
      sum(sum(e.capacities * abs(e.own))) over by_time as own_capacities,
      sum(sum(e.limits * abs(e.defaults))) over by_time as default_limits,
      sum(sum(e.bursts * abs(e.defaults))) over by_time as default_bursts,
      sum(sum(e.capacities * abs(e.defaults))) over by_time as default_capacities
    from events as e
    group by e.cluster_id, e.is_bandwidth, e.moment
    window by_time as (partition by e.cluster_id, e.is_bandwidth order by e.moment)
  ),
  totals as (
    select
      s.cluster_id, s.is_bandwidth, s.moment,
      s.own_limits + s.default_limits * (h.apps - s.own) as limits,
      s.own_bursts + s.default_bursts * (h.apps - s.own) as bursts,
      s.own_capacities + s.default_capacities * (h.apps - s.own) as capacities
    from standing as s
    join hosted as h on h.cluster_id is not distinct from s.cluster_id
  ),
  changes as (
    select
      t.cluster_id, t.is_bandwidth, t.moment,
      t.limits - lag(t.limits, 1, 0::numeric) over by_time as limits,
      t.bursts - lag(t.bursts, 1, 0::numeric) over by_time as bursts,
      t.capacities - lag(t.capacities, 1, 0::numeric) over by_time as capacities
    from totals as t
    window by_time as (partition by t.cluster_id, t.is_bandwidth order by t.moment)
    union all
    select d.cluster_id, d.is_bandwidth, d.moment, d.limits, d.bursts, d.capacities
    from rate_limiter_internal.held_by_debt(at, ceiling_use.tenant_id) as d
  )
  select
    c.ceiling_id, ch.is_bandwidth, ch.moment,
    sum(sum(ch.limits)) over by_time,
    sum(sum(ch.bursts)) over by_time,
    sum(sum(ch.capacities)) over by_time
  from rate_limiter.tenant_ceilings as c
  join changes as ch
    on (c.cluster_id is null or c.cluster_id = ch.cluster_id)
    and case when ch.is_bandwidth then c.bandwidth_limit_bps else c.iops_limit end is not null
  where c.tenant_id = ceiling_use.tenant_id
  group by c.ceiling_id, ch.is_bandwidth, ch.moment
  window by_time as (partition by c.ceiling_id, ch.is_bandwidth order by ch.moment);
$$;

comment on function rate_limiter_internal.ceiling_use(timestamptz, uuid) is
  'What the enforcing quotas of a tenant''s active applications come to under each of its '
  'ceilings, from a moment on: a row for each moment at which that changes. The default of a '
  'cluster counts for each application without a quota of that kind in force, and what '
  'applications that owe have given up counts until they have paid (held_by_debt).';
--! EndIncluded rate_limiter_internal/ceilings/ceiling_use.sql
--! Included rate_limiter_internal/ceilings/ceiling_problem.sql
create or replace function rate_limiter_internal.ceiling_problem(
  at timestamptz,
  tenant_id uuid,
  cluster_ids uuid[]
)
returns text
language sql
stable
parallel safe
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
  select format(
    'kind: %s, cluster: %s, at: %s, limits: %s of %s, bursts: %s of %s, capacities: %s of %s',
    case when u.is_bandwidth then 'bandwidth' else 'iops' end,
    coalesce(c.cluster_id::text, 'all'),
    u.moment,
    trim_scale(u.limits), most.limits,
    trim_scale(u.bursts), most.bursts,
    trim_scale(u.capacities), most.capacities
  )
  from rate_limiter_internal.ceiling_use(at, ceiling_problem.tenant_id) as u
  join rate_limiter.tenant_ceilings as c on c.ceiling_id = u.ceiling_id
  cross join lateral (
    select
      case when u.is_bandwidth then c.bandwidth_limit_bps else c.iops_limit end as limits,
      case when u.is_bandwidth then c.bandwidth_burst_bps else c.iops_burst end as bursts,
      case when u.is_bandwidth then c.bandwidth_capacity else c.iops_capacity end as capacities
  ) as most
  where (u.limits > most.limits or u.bursts > most.bursts or u.capacities > most.capacities)
    and (c.cluster_id is null or c.cluster_id = any (ceiling_problem.cluster_ids))
  order by u.moment, u.is_bandwidth, c.cluster_id nulls first
  limit 1;
$$;

comment on function rate_limiter_internal.ceiling_problem(timestamptz, uuid, uuid[]) is
  'The first moment from which on the quotas of a tenant''s applications come to more than a '
  'ceiling that binds on any of some clusters, with the values; null where all of them fit.';
--! EndIncluded rate_limiter_internal/ceilings/ceiling_problem.sql
--! Included rate_limiter_internal/ceilings/require_ceilings_of.sql
create or replace function rate_limiter_internal.require_ceilings_of(
  at timestamptz,
  tenant_id uuid,
  cluster_ids uuid[]
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  problem constant text := rate_limiter_internal.ceiling_problem(at, tenant_id, cluster_ids);
begin
  if problem is not null then
    raise exception using
      errcode = 'QS403',
      message = 'tenant ceiling is exceeded',
      detail = format('tenant: %s, %s', tenant_id, problem),
      hint = 'Take less, lower another quota of the tenant first, or have a system administrator '
        'raise the ceiling. An application that owes, a debt or a loan, keeps what it had until it '
        'has paid.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_ceilings_of(timestamptz, uuid, uuid[]) is
  'Raises QS403 where the quotas of a tenant''s applications come to more, at a moment or later, '
  'than a ceiling of it that binds on any of some clusters.';
--! EndIncluded rate_limiter_internal/ceilings/require_ceilings_of.sql
--! Included rate_limiter_internal/ceilings/defer_ceilings.sql
create or replace function rate_limiter_internal.defer_ceilings()
returns void
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into rate_limiter_internal.deferred_ceilings default values
  on conflict (xid, tenant_id) do nothing;
$$;

comment on function rate_limiter_internal.defer_ceilings() is
  'From now on require_ceilings() notes what this transaction has to check: '
  'check_deferred_ceilings() checks it, once for all, as of this moment, or the commit does.';
grant execute on function rate_limiter_internal.defer_ceilings() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/ceilings/defer_ceilings.sql
--! Included rate_limiter_internal/ceilings/check_deferred_ceilings.sql
create or replace function rate_limiter_internal.check_deferred_ceilings()
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  due rate_limiter_internal.deferred_ceilings;
begin
  for due in
    with ended as (
      delete from rate_limiter_internal.deferred_ceilings as d
      where d.xid = pg_current_xact_id_if_assigned()
      returning d.*
    )
    select e.* from ended as e where e.cluster_ids <> '{}' order by e.tenant_id
  loop
    perform rate_limiter_internal.require_ceilings_of(due.since, due.tenant_id, due.cluster_ids);
  end loop;
end;
$$;

comment on function rate_limiter_internal.check_deferred_ceilings() is
  'Ends what defer_ceilings() began in this transaction: raises QS403 where the quotas of a tenant '
  'came to more since then, or will, than a ceiling that binds where something was changed.';
grant execute on function rate_limiter_internal.check_deferred_ceilings() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/ceilings/check_deferred_ceilings.sql
--! Included rate_limiter_internal/ceilings/check_deferred_ceilings_of.sql
create or replace function rate_limiter_internal.check_deferred_ceilings_of(tenant_id uuid)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  due rate_limiter_internal.deferred_ceilings;
begin
  select d.* into due
  from rate_limiter_internal.deferred_ceilings as d
  where d.xid = pg_current_xact_id_if_assigned()
    and d.tenant_id = check_deferred_ceilings_of.tenant_id;
  if due.cluster_ids <> '{}' then
    perform rate_limiter_internal.require_ceilings_of(due.since, due.tenant_id, due.cluster_ids);
  end if;

  insert into rate_limiter_internal.deferred_ceilings as d (xid, tenant_id)
  select begun.xid, check_deferred_ceilings_of.tenant_id
  from rate_limiter_internal.deferred_ceilings as begun
  where begun.xid = pg_current_xact_id_if_assigned()
    and begun.tenant_id = '00000000-0000-0000-0000-000000000000'
  on conflict on constraint deferred_ceilings_pkey do update
  set since = excluded.since, cluster_ids = '{}';
end;
$$;

comment on function rate_limiter_internal.check_deferred_ceilings_of(uuid) is
  'Checks what is deferred for a tenant up to now: its ceilings are about to change, and what was '
  'before has to fit those that were.';
--! EndIncluded rate_limiter_internal/ceilings/check_deferred_ceilings_of.sql
--! Included rate_limiter_internal/ceilings/check_ceilings_at_commit.sql
create or replace function rate_limiter_internal.check_ceilings_at_commit()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.check_deferred_ceilings();
  return null;
end;
$$;

comment on function rate_limiter_internal.check_ceilings_at_commit() is
  'Trigger: what a transaction has deferred, and not checked itself, is checked when it commits.';
--! EndIncluded rate_limiter_internal/ceilings/check_ceilings_at_commit.sql
--! Included rate_limiter_internal/ceilings/deferred_ceilings.triggers.sql
-- create or replace does not know constraint triggers.
drop trigger if exists check_ceilings_at_commit on rate_limiter_internal.deferred_ceilings;
create constraint trigger check_ceilings_at_commit
  after insert on rate_limiter_internal.deferred_ceilings
  deferrable initially deferred
  for each row
  execute function rate_limiter_internal.check_ceilings_at_commit();
--! EndIncluded rate_limiter_internal/ceilings/deferred_ceilings.triggers.sql
--! Included rate_limiter_internal/ceilings/deferred_ceilings.grants.sql
revoke all on rate_limiter_internal.deferred_ceilings
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_internal/ceilings/deferred_ceilings.grants.sql
--! Included rate_limiter_internal/ceilings/require_ceilings.sql
create or replace function rate_limiter_internal.require_ceilings(
  at timestamptz,
  tenant_id uuid,
  cluster_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  insert into rate_limiter_internal.deferred_ceilings as d (xid, tenant_id, since, cluster_ids)
  select
    begun.xid, require_ceilings.tenant_id, begun.since, array[require_ceilings.cluster_id]
  from rate_limiter_internal.deferred_ceilings as begun
  where begun.xid = pg_current_xact_id_if_assigned()
    and begun.tenant_id = '00000000-0000-0000-0000-000000000000'
  on conflict on constraint deferred_ceilings_pkey do update
  set cluster_ids = case
    when array_position(d.cluster_ids, require_ceilings.cluster_id) is null
      then d.cluster_ids || require_ceilings.cluster_id
    else d.cluster_ids
  end;
  if not found then
    perform rate_limiter_internal.require_ceilings_of(at, tenant_id, array[cluster_id]);
  end if;
end;
$$;

comment on function rate_limiter_internal.require_ceilings(timestamptz, uuid, uuid) is
  'Raises QS403 where the quotas of a tenant''s applications come to more, at any moment from now '
  'on, than a ceiling of it that binds on a cluster (null: one for all); where the transaction has '
  'deferred that (defer_ceilings), notes that it is to be checked. The caller holds the tenant''s '
  'ceilings (lock_ceilings).';
--! EndIncluded rate_limiter_internal/ceilings/require_ceilings.sql
--! Included rate_limiter_internal/ceilings/require_quota_allowed.sql
create or replace function rate_limiter_internal.require_quota_allowed(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  default_cluster_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  concerned record;
begin
  if cluster_id is not null then
    perform rate_limiter_internal.require_reservations(at, cluster_id);
  else
    for concerned in
      select distinct a.tenant_id, a.cluster_id
      from rate_limiter.applications as a
      where a.app_id = require_quota_allowed.app_id
        or a.cluster_id = require_quota_allowed.default_cluster_id
      order by a.tenant_id
    loop
      perform rate_limiter_internal.require_ceilings(
        at, concerned.tenant_id, concerned.cluster_id
      );
    end loop;
  end if;

  perform rate_limiter_internal.sync_quota_flags(
    at,
    array(
      select a.app_id
      from rate_limiter.applications as a
      where a.app_id = require_quota_allowed.app_id
        or a.cluster_id = coalesce(
          require_quota_allowed.cluster_id, require_quota_allowed.default_cluster_id
        )
    )
  );
end;
$$;

comment on function rate_limiter_internal.require_quota_allowed(timestamptz, uuid, uuid, uuid) is
  'Ends a change of quotas of an application, of a cluster or of its default: raises QS403 beyond '
  'a ceiling and QS422 where reservations do not fit, and notes at the applications concerned '
  'which quotas there are now.';
--! EndIncluded rate_limiter_internal/ceilings/require_quota_allowed.sql
--! Included rate_limiter_internal/ceilings/begin_with_nothing.sql
create or replace function rate_limiter_internal.begin_with_nothing(
  at timestamptz,
  was rate_limiter.applications,
  application rate_limiter.applications
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  stored rate_limiter.token_buckets;
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  for stored in
    select b.*
    from rate_limiter.token_buckets as b
    where b.shard_key = application.shard_key
      and b.owner_id = application.app_id
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      and b.mode = 'enforce'
      and exists (
        select
        from rate_limiter.tenant_ceilings as c
        where c.tenant_id = application.tenant_id
          and (c.cluster_id is null or c.cluster_id = application.cluster_id)
          and case
            when rate_limiter_internal.is_bandwidth(b.bucket_type) then c.bandwidth_limit_bps
            else c.iops_limit
          end is not null
          and (
            was.is_active
            and was.tenant_id = application.tenant_id
            and (c.cluster_id is null or c.cluster_id = was.cluster_id)
          ) is not true
      )
    order by b.bucket_type
    for update
  loop
    -- One that was never drawn on would find what a default brought in before it was there.
    if stored.quota_valid_until = '-infinity' then
      update rate_limiter.token_buckets as b
      set quota_valid_until = at
      where b.shard_key = stored.shard_key
        and b.owner_id = stored.owner_id
        and b.bucket_type = stored.bucket_type
        and b.mode = stored.mode;
      continue;
    end if;
    before := rate_limiter_internal.locked_bucket_at(at, stored);
    after := before;
    after.current_tokens := least(before.current_tokens, 0);
    after.prorated_since := case when after.calculation_method = 'fixed_window' then at end;
    perform rate_limiter_internal.write_buckets(
      at, 'adjust', array[before], array[after], null,
      '{"cause": "counts under a ceiling from now on"}'
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.begin_with_nothing(
  timestamptz, rate_limiter.applications, rate_limiter.applications
) is
  'Empties the buckets of an active application of which a ceiling did not count the quotas before '
  'this change of it (was; null for a new one): what was saved up or flowed in meanwhile was '
  'another one''s. Debt stays. The caller holds the ceilings, and no bucket but those of the '
  'application.';
--! EndIncluded rate_limiter_internal/ceilings/begin_with_nothing.sql
--! Included rate_limiter_internal/ceilings/sync_without_quota.sql
create or replace function rate_limiter_internal.sync_without_quota()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.sync_needed_quotas();
  return null;
end;
$$;

comment on function rate_limiter_internal.sync_without_quota() is
  'Trigger: notes at every application of which kinds it needs a quota.';
--! EndIncluded rate_limiter_internal/ceilings/sync_without_quota.sql
--! Included rate_limiter_internal/ceilings/complete_ceiling.sql
create or replace function rate_limiter_internal.complete_ceiling(
  limits rate_limiter_admin.ceiling_limits
)
returns rate_limiter_admin.ceiling_limits
language sql
stable
parallel safe
as $$
  select (
    limits.max_limit,
    coalesce(limits.max_burst, limits.max_limit),
    coalesce(
      limits.max_capacity,
      rate_limiter_internal.quota_capacity(
        'token_bucket', limits.max_limit, coalesce(limits.max_burst, limits.max_limit),
        rate_limiter_internal.setting_integer('default_burst_duration')::integer,
        limits.max_limit
      )
    )
  )::rate_limiter_admin.ceiling_limits;
$$;

comment on function rate_limiter_internal.complete_ceiling(
  rate_limiter_admin.ceiling_limits
) is 'A ceiling of one kind with what was left out filled in.';
--! EndIncluded rate_limiter_internal/ceilings/complete_ceiling.sql
--! Included rate_limiter_internal/ceilings/require_ceiling_limits.sql
create or replace function rate_limiter_internal.require_ceiling_limits(
  limits rate_limiter_admin.ceiling_limits
)
returns void
language plpgsql
immutable
parallel safe
as $$
declare
  problem constant text := case
    when limits is not distinct from null then null
    when limits.max_limit is null then 'max_limit is missing'
    when limits.max_limit < 0 then 'max_limit is negative'
    when limits.max_burst < limits.max_limit then 'max_burst is below max_limit'
    when limits.max_capacity < limits.max_limit then 'max_capacity is below max_limit'
    when limits.max_capacity <> trunc(limits.max_capacity) then 'max_capacity has a fraction'
    when limits.max_capacity >= 1e38 then 'max_capacity is too large'
  end;
begin
  if problem is not null then
    raise exception using
      errcode = 'QS422',
      message = 'ceiling does not fit',
      detail = format('ceiling: %s', limits),
      hint = format('Mend this: %s.', problem);
  end if;
end;
$$;

comment on function rate_limiter_internal.require_ceiling_limits(
  rate_limiter_admin.ceiling_limits
) is 'Raises QS422 for a ceiling that is none.';
--! EndIncluded rate_limiter_internal/ceilings/require_ceiling_limits.sql
--! Included rate_limiter_admin/ceilings/set_tenant_ceiling.sql
create or replace function rate_limiter_admin.set_tenant_ceiling(
  tenant_id uuid,
  reason text,
  cluster_id uuid default null,
  iops rate_limiter_admin.ceiling_limits default null,
  bandwidth rate_limiter_admin.ceiling_limits default null,
  remove_iops boolean default false,
  remove_bandwidth boolean default false
)
returns rate_limiter.tenant_ceilings
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  ceiling rate_limiter.tenant_ceilings;
  before rate_limiter.tenant_ceilings;
  limits rate_limiter_admin.ceiling_limits;
  problem text;
begin
  perform rate_limiter_internal.require_system_admin('quota', 'update');
  perform rate_limiter_internal.require_reason(reason);
  perform rate_limiter_internal.require_ceiling_limits(iops);
  perform rate_limiter_internal.require_ceiling_limits(bandwidth);

  if iops is not distinct from null and bandwidth is not distinct from null
    and not coalesce(remove_iops, false) and not coalesce(remove_bandwidth, false)
  then
    raise exception using
      errcode = 'QS422',
      message = 'ceiling changes nothing',
      hint = 'Give a ceiling of operations or of bandwidth, or remove one.';
  end if;

  -- In the lock order of chapter buckets: the tenant, its applications, its ceilings.
  perform from rate_limiter.tenants as t
  where t.tenant_id = set_tenant_ceiling.tenant_id for no key update;
  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown tenant',
      detail = format('tenant: %s', tenant_id),
      hint = 'Check the id.';
  end if;

  if not exists (
    select from rate_limiter.clusters as c where c.cluster_id = set_tenant_ceiling.cluster_id
  ) and set_tenant_ceiling.cluster_id is not null then
    raise exception using
      errcode = 'QS404',
      message = 'unknown cluster',
      detail = format('cluster: %s', cluster_id),
      hint = 'Check the id, or leave it out for a ceiling of all clusters together.';
  end if;

  perform
  from rate_limiter.applications as a
  where a.tenant_id = set_tenant_ceiling.tenant_id
  order by a.app_id
  for no key update;
  perform rate_limiter_internal.lock_ceilings(array[tenant_id]);
  perform rate_limiter_internal.check_deferred_ceilings_of(tenant_id);

  select c.* into before
  from rate_limiter.tenant_ceilings as c
  where c.tenant_id = set_tenant_ceiling.tenant_id
    and c.cluster_id is not distinct from set_tenant_ceiling.cluster_id;
  ceiling := before;

  if coalesce(remove_iops, false) then
    ceiling.iops_limit := null;
    ceiling.iops_burst := null;
    ceiling.iops_capacity := null;
  elsif iops is distinct from null then
    limits := rate_limiter_internal.complete_ceiling(iops);
    ceiling.iops_limit := limits.max_limit;
    ceiling.iops_burst := limits.max_burst;
    ceiling.iops_capacity := limits.max_capacity;
  end if;
  if coalesce(remove_bandwidth, false) then
    ceiling.bandwidth_limit_bps := null;
    ceiling.bandwidth_burst_bps := null;
    ceiling.bandwidth_capacity := null;
  elsif bandwidth is distinct from null then
    limits := rate_limiter_internal.complete_ceiling(bandwidth);
    ceiling.bandwidth_limit_bps := limits.max_limit;
    ceiling.bandwidth_burst_bps := limits.max_burst;
    ceiling.bandwidth_capacity := limits.max_capacity;
  end if;

  if ceiling.iops_limit is null and ceiling.bandwidth_limit_bps is null then
    delete from rate_limiter.tenant_ceilings as c where c.ceiling_id = before.ceiling_id;
  elsif before.ceiling_id is null then
    insert into rate_limiter.tenant_ceilings as c (
      tenant_id, cluster_id, iops_limit, iops_burst, iops_capacity, bandwidth_limit_bps,
      bandwidth_burst_bps, bandwidth_capacity
    )
    values (
      tenant_id, cluster_id, ceiling.iops_limit, ceiling.iops_burst, ceiling.iops_capacity,
      ceiling.bandwidth_limit_bps, ceiling.bandwidth_burst_bps, ceiling.bandwidth_capacity
    )
    returning c.* into ceiling;
  else
    update rate_limiter.tenant_ceilings as c
    set
      iops_limit = ceiling.iops_limit,
      iops_burst = ceiling.iops_burst,
      iops_capacity = ceiling.iops_capacity,
      bandwidth_limit_bps = ceiling.bandwidth_limit_bps,
      bandwidth_burst_bps = ceiling.bandwidth_burst_bps,
      bandwidth_capacity = ceiling.bandwidth_capacity
    where c.ceiling_id = before.ceiling_id
    returning c.* into ceiling;
  end if;

  problem := rate_limiter_internal.ceiling_problem(
    clock_timestamp(), tenant_id, array[cluster_id]
  );
  if problem is not null then
    raise exception using
      errcode = 'QS409',
      message = 'quotas exceed this ceiling',
      detail = format('tenant: %s, %s', tenant_id, problem),
      hint = 'Lower the quotas in force and scheduled first, or set the ceiling no lower than what '
        'they come to.';
  end if;

  perform rate_limiter_internal.sync_needed_quotas(tenant_id);
  perform rate_limiter_internal.write_audit(
    'set_ceiling', 'tenant_ceilings', coalesce(ceiling.ceiling_id, before.ceiling_id), tenant_id,
    null, null, jsonb_build_object('cluster_id', cluster_id, 'reason', reason)
  );
  if ceiling.iops_limit is null and ceiling.bandwidth_limit_bps is null then
    return null;
  end if;
  return ceiling;
end;
$$;

comment on function rate_limiter_admin.set_tenant_ceiling(
  uuid, text, uuid, rate_limiter_admin.ceiling_limits, rate_limiter_admin.ceiling_limits, boolean,
  boolean
) is
  E'@resultFieldName ceiling\n'
  'Sets the most that the quotas of a tenant''s applications may come to together at any moment: '
  'of those on one cluster, or of all of them. Within it the tenant''s own people set quotas, and '
  'an application without a quota of that kind is denied. A kind that is neither given nor removed '
  '(removeIops, removeBandwidth) stays as it is. Refused (QS409) below what quotas in force and '
  'scheduled come to. For system administrators.';
grant execute on function rate_limiter_admin.set_tenant_ceiling(
  uuid, text, uuid, rate_limiter_admin.ceiling_limits, rate_limiter_admin.ceiling_limits, boolean,
  boolean
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/ceilings/set_tenant_ceiling.sql
--! Included rate_limiter_admin/ceilings/ceiling_usage.sql
create or replace function rate_limiter_admin.ceiling_usage(tenant_id uuid default null)
returns table (
  ceiling_id uuid,
  cluster_id uuid,
  kind text,
  max_limit numeric,
  max_burst numeric,
  max_capacity numeric,
  current_limit numeric,
  current_burst numeric,
  current_capacity numeric,
  peak_limit numeric,
  peak_burst numeric,
  peak_capacity numeric
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  asked_tenant_id constant uuid := coalesce(
    ceiling_usage.tenant_id, rate_limiter_internal.current_tenant_id()
  );
begin
  perform rate_limiter_internal.require_permission('quota', 'read');
  if asked_tenant_id <> rate_limiter_internal.current_tenant_id() then
    perform rate_limiter_internal.require_system_admin('quota', 'read');
  end if;

  return query
  select
    c.ceiling_id,
    c.cluster_id,
    most.kind,
    most.limits,
    most.bursts,
    most.capacities,
    coalesce(max(u.limits) filter (where u.moment <= at), 0),
    coalesce(max(u.bursts) filter (where u.moment <= at), 0),
    coalesce(max(u.capacities) filter (where u.moment <= at), 0),
    coalesce(max(u.limits), 0),
    coalesce(max(u.bursts), 0),
    coalesce(max(u.capacities), 0)
  from rate_limiter.tenant_ceilings as c
  cross join lateral (
    values
      ('iops', false, c.iops_limit::numeric, c.iops_burst::numeric, c.iops_capacity),
      ('bandwidth', true, c.bandwidth_limit_bps, c.bandwidth_burst_bps, c.bandwidth_capacity)
  ) as most (kind, is_bandwidth, limits, bursts, capacities)
  left join rate_limiter_internal.ceiling_use(at, asked_tenant_id) as u
    on u.ceiling_id = c.ceiling_id and u.is_bandwidth = most.is_bandwidth
  where c.tenant_id = asked_tenant_id
    and most.limits is not null
  group by
    c.ceiling_id, c.cluster_id, most.kind, most.limits, most.bursts, most.capacities
  order by c.cluster_id nulls first, most.kind desc;
end;
$$;

comment on function rate_limiter_admin.ceiling_usage(uuid) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'What the quotas of a tenant''s applications come to under each of its ceilings: now, and at '
  'the most with everything that is scheduled. Of your tenant where none is named.';
grant execute on function rate_limiter_admin.ceiling_usage(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/ceilings/ceiling_usage.sql
--! Included rate_limiter/ceilings/sync_needed_quotas.triggers.sql
create or replace trigger sync_needed_quotas
  after update on rate_limiter.system_settings
  for each row
  when (new.key = 'without_quota' and new.value <> old.value)
  execute function rate_limiter_internal.sync_without_quota();
comment on trigger sync_needed_quotas on rate_limiter.system_settings is
  'Applications note of which kinds they need a quota.';
--! EndIncluded rate_limiter/ceilings/sync_needed_quotas.triggers.sql
--! Included rate_limiter/ceilings/tenant_ceilings.triggers.sql
create or replace trigger set_updated_at
  before update on rate_limiter.tenant_ceilings
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.tenant_ceilings
  for each row
  execute function rate_limiter_internal.audit_change('ceiling_id');
--! EndIncluded rate_limiter/ceilings/tenant_ceilings.triggers.sql
--! Included rate_limiter/ceilings/tenant_ceilings.policies.sql
-- Written by functions alone: what a tenant may give its applications is the operator's to say.
alter table rate_limiter.tenant_ceilings enable row level security;

drop policy if exists readable on rate_limiter.tenant_ceilings;
create policy readable on rate_limiter.tenant_ceilings
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('quota', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists monitored on rate_limiter.tenant_ceilings;
create policy monitored on rate_limiter.tenant_ceilings
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/ceilings/tenant_ceilings.policies.sql
--! Included rate_limiter/ceilings/tenant_ceilings.grants.sql
revoke all on rate_limiter.tenant_ceilings
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.tenant_ceilings to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/ceilings/tenant_ceilings.grants.sql

-- Suspensions
--! Included rate_limiter_internal/suspensions/require_tenant_not_suspended.sql
create or replace function rate_limiter_internal.require_tenant_not_suspended()
returns void
language plpgsql
stable
parallel safe
as $$
declare
  until timestamptz;
begin
  select coalesce(s.suspended_until, 'infinity')
  into until
  from rate_limiter.suspensions as s
  where s.tenant_id = rate_limiter_internal.current_tenant_id()
    and s.app_id is null
    and s.api_key_id is null
    and s.lifted_at is null
    and (s.suspended_until is null or s.suspended_until > clock_timestamp())
  order by 1 desc
  limit 1;
  if found and not rate_limiter_internal.is_system_admin() then
    raise exception using
      errcode = 'QS403',
      message = 'tenant is suspended',
      detail = format('until: %s', until),
      hint = 'An operator suspended it, and can lift that. Reading still works.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_tenant_not_suspended() is
  'Raises QS403 while the caller''s tenant is suspended, unless a system administrator calls.';
--! EndIncluded rate_limiter_internal/suspensions/require_tenant_not_suspended.sql
--! Included rate_limiter_internal/suspensions/suspended_until.sql
create or replace function rate_limiter_internal.suspended_until(tenant_id uuid, app_id uuid)
returns timestamptz
language sql
stable
parallel safe
as $$
  select max(coalesce(s.suspended_until, 'infinity'))
  from rate_limiter.suspensions as s
  where s.tenant_id = suspended_until.tenant_id
    and (s.app_id is null or s.app_id = suspended_until.app_id)
    and s.api_key_id is null
    and s.lifted_at is null;
$$;

comment on function rate_limiter_internal.suspended_until(uuid, uuid) is
  'Until when an application is suspended, itself or with its tenant; null for not at all.';
--! EndIncluded rate_limiter_internal/suspensions/suspended_until.sql
--! Included rate_limiter_internal/suspensions/lock_suspended.sql
create or replace function rate_limiter_internal.lock_suspended(
  tenant_id uuid,
  app_id uuid,
  api_key_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if api_key_id is not null then
    perform from rate_limiter_private.api_keys as k
    where k.api_key_id = lock_suspended.api_key_id for no key update;
    return;
  end if;

  if app_id is null then
    perform from rate_limiter.tenants as t
    where t.tenant_id = lock_suspended.tenant_id for no key update;
  end if;
  perform
  from rate_limiter.applications as a
  where a.tenant_id = lock_suspended.tenant_id
    and (lock_suspended.app_id is null or a.app_id = lock_suspended.app_id)
  order by a.app_id
  for no key update;
end;
$$;

comment on function rate_limiter_internal.lock_suspended(uuid, uuid, uuid) is
  'Locks what a suspension is about, in the lock order of chapter buckets: a key, or the tenant '
  'and the applications that are told. try_lock_suspended() does not wait.';
--! EndIncluded rate_limiter_internal/suspensions/lock_suspended.sql
--! Included rate_limiter_internal/suspensions/try_lock_suspended.sql
create or replace function rate_limiter_internal.try_lock_suspended(
  tenant_id uuid,
  app_id uuid,
  api_key_id uuid,
  out app_ids uuid[],
  out is_whole boolean
)
language plpgsql
volatile
parallel unsafe
as $$
begin
  app_ids := '{}';
  if api_key_id is not null then
    perform
    from rate_limiter_private.api_keys as k
    where k.api_key_id = try_lock_suspended.api_key_id
    for no key update skip locked;
    is_whole := found;
    return;
  end if;

  is_whole := true;
  if app_id is null then
    perform
    from rate_limiter.tenants as t
    where t.tenant_id = try_lock_suspended.tenant_id
    for no key update skip locked;
    is_whole := found;
  end if;
  app_ids := array(
    select a.app_id
    from rate_limiter.applications as a
    where a.tenant_id = try_lock_suspended.tenant_id
      and (try_lock_suspended.app_id is null or a.app_id = try_lock_suspended.app_id)
    order by a.app_id
    for no key update skip locked
  );
  is_whole := is_whole and cardinality(app_ids) = (
    select count(*)
    from rate_limiter.applications as a
    where a.tenant_id = try_lock_suspended.tenant_id
      and (try_lock_suspended.app_id is null or a.app_id = try_lock_suspended.app_id)
  );
end;
$$;

comment on function rate_limiter_internal.try_lock_suspended(uuid, uuid, uuid) is
  'Locks of what a suspension is about as much as no other transaction has locked: the '
  'applications that it answers, and all there is to lock where is_whole. An operator''s brake '
  'waits for no transaction of the tenant''s people.';
--! EndIncluded rate_limiter_internal/suspensions/try_lock_suspended.sql
--! Included rate_limiter_internal/suspensions/sync_suspension.sql
create or replace function rate_limiter_internal.sync_suspension(
  suspension rate_limiter.suspensions,
  app_ids uuid[] default null
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if suspension.api_key_id is not null then
    update rate_limiter_private.api_keys as k
    set suspended_until = case when suspension.lifted_at is null
      then coalesce(suspension.suspended_until, 'infinity') end
    where k.api_key_id = suspension.api_key_id;
    return;
  end if;

  app_ids := coalesce(app_ids, array(
    select a.app_id
    from rate_limiter.applications as a
    where a.tenant_id = suspension.tenant_id
      and (suspension.app_id is null or a.app_id = suspension.app_id)
  ));
  update rate_limiter.app_facts as f
  set suspended_until = rate_limiter_internal.suspended_until(f.tenant_id, f.app_id)
  where f.app_id = any (app_ids)
    and f.suspended_until is distinct from
      rate_limiter_internal.suspended_until(f.tenant_id, f.app_id);
  if suspension.app_id is null then
    perform rate_limiter_internal.notify_tenants(array[suspension.tenant_id]);
  else
    perform rate_limiter_internal.notify_application(suspension.app_id);
  end if;
  if suspension.lifted_at is null then
    perform rate_limiter_internal.release_leased(
      rate_limiter_internal.revoke_leases(suspension.suspended_at, app_ids)
    );
  end if;
end;
$$;

comment on function rate_limiter_internal.sync_suspension(rate_limiter.suspensions, uuid[]) is
  'Writes to the key, or into the facts of the applications that a suspension is about, until when '
  'they are suspended, tells clients, and revokes their leases. app_ids: those alone. The caller '
  'holds them (lock_suspended, try_lock_suspended).';
--! EndIncluded rate_limiter_internal/suspensions/sync_suspension.sql
--! Included rate_limiter_internal/suspensions/end_suspension.sql
create or replace function rate_limiter_internal.end_suspension(
  at timestamptz,
  tenant_id uuid,
  app_id uuid,
  api_key_id uuid,
  reason text
)
returns void
language sql
volatile
parallel unsafe
as $$
  update rate_limiter.suspensions as s
  set
    -- One that has come to its end makes room only.
    lifted_at = least(at, s.suspended_until),
    lift_reason = case when s.suspended_until <= at then 'it came to its end' else reason end
  where s.tenant_id = end_suspension.tenant_id
    and s.app_id is not distinct from end_suspension.app_id
    and s.api_key_id is not distinct from end_suspension.api_key_id
    and s.lifted_at is null;
$$;

comment on function rate_limiter_internal.end_suspension(
  timestamptz, uuid, uuid, uuid, text
) is
  'Ends the suspension of a thing, if there is one.';
--! EndIncluded rate_limiter_internal/suspensions/end_suspension.sql
--! Included rate_limiter_internal/suspensions/suspend.sql
create or replace function rate_limiter_internal.suspend(
  tenant_id uuid,
  app_id uuid,
  api_key_id uuid,
  reason text,
  until timestamptz
)
returns rate_limiter.suspensions
language plpgsql
volatile
parallel unsafe
as $$
declare
  at constant timestamptz := clock_timestamp();
  suspension rate_limiter.suspensions;
  locked record;
begin
  perform rate_limiter_internal.require_reason(reason);
  if until <= at or not isfinite(until) then
    raise exception using
      errcode = 'QS422',
      message = 'suspension must end in the future',
      detail = format('until: %s', until),
      hint = 'Leave its end out to suspend until it is lifted.';
  end if;

  -- One operator after the other: what is locked below may be only a part.
  lock table rate_limiter.suspensions in share update exclusive mode;
  locked := rate_limiter_internal.try_lock_suspended(tenant_id, app_id, api_key_id);
  perform rate_limiter_internal.end_suspension(
    at, tenant_id, app_id, api_key_id, 'another one took its place'
  );
  insert into rate_limiter.suspensions as s (
    tenant_id, app_id, api_key_id, reason, suspended_at, suspended_until
  )
  values (tenant_id, app_id, api_key_id, reason, at, until)
  returning s.* into suspension;

  -- A key that is held has no part that could be stopped at once.
  if locked.is_whole or api_key_id is null then
    perform rate_limiter_internal.sync_suspension(suspension, locked.app_ids);
  end if;
  if not locked.is_whole then
    -- What holds the rest ends soon, and nothing new of the tenant's people begins.
    perform graphile_worker.add_job(
      'finish_suspension', json_build_object('suspension_id', suspension.suspension_id)
    );
  end if;
  return suspension;
end;
$$;

comment on function rate_limiter_internal.suspend(uuid, uuid, uuid, text, timestamptz) is
  'Suspends a tenant, one of its applications or a key of that; a suspension of the same thing '
  'that is under way ends. What another transaction has locked is left to the job '
  'finish_suspension, which waits for it. Raises QS422 for an end that is over.';
--! EndIncluded rate_limiter_internal/suspensions/suspend.sql
--! Included rate_limiter_admin/suspensions/suspend_tenant.sql
create or replace function rate_limiter_admin.suspend_tenant(
  tenant_id uuid,
  reason text,
  until timestamptz default null
)
returns rate_limiter.suspensions
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.commit_locally();
  perform rate_limiter_internal.require_system_admin('tenant', 'update');
  if not exists (
    select from rate_limiter.tenants as t where t.tenant_id = suspend_tenant.tenant_id
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown tenant',
      detail = format('tenant: %s', tenant_id),
      hint = 'Check the id.';
  end if;
  return rate_limiter_internal.suspend(tenant_id, null, null, reason, until);
end;
$$;

comment on function rate_limiter_admin.suspend_tenant(uuid, text, timestamptz) is
  E'@resultFieldName suspension\n'
  'Refuses the requests of all applications of a tenant, until a moment or until liftSuspension. '
  'Its people can still sign in. For system administrators.';
grant execute on function rate_limiter_admin.suspend_tenant(uuid, text, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/suspensions/suspend_tenant.sql
--! Included rate_limiter_admin/suspensions/suspend_application.sql
create or replace function rate_limiter_admin.suspend_application(
  app_id uuid,
  reason text,
  until timestamptz default null
)
returns rate_limiter.suspensions
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  owning_tenant_id uuid;
begin
  perform rate_limiter_internal.commit_locally();
  perform rate_limiter_internal.require_system_admin('application', 'update');
  perform rate_limiter_internal.require_application(app_id, 'application', 'update');
  select a.tenant_id
  into owning_tenant_id
  from rate_limiter.applications as a
  where a.app_id = suspend_application.app_id;
  return rate_limiter_internal.suspend(owning_tenant_id, app_id, null, reason, until);
end;
$$;

comment on function rate_limiter_admin.suspend_application(uuid, text, timestamptz) is
  E'@resultFieldName suspension\n'
  'Refuses the requests of an application, until a moment or until liftSuspension. For system '
  'administrators.';
grant execute on function rate_limiter_admin.suspend_application(uuid, text, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/suspensions/suspend_application.sql
--! Included rate_limiter_admin/suspensions/suspend_api_key.sql
create or replace function rate_limiter_admin.suspend_api_key(
  api_key_id uuid,
  reason text,
  until timestamptz default null
)
returns rate_limiter.suspensions
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  live_key rate_limiter_private.api_keys;
  owning_tenant_id uuid;
begin
  perform rate_limiter_internal.commit_locally();
  perform rate_limiter_internal.require_system_admin('application', 'update');
  live_key := rate_limiter_private.require_live_api_key(api_key_id, is_to_lock => false);
  select a.tenant_id
  into owning_tenant_id
  from rate_limiter.applications as a
  where a.app_id = live_key.app_id;
  return rate_limiter_internal.suspend(
    owning_tenant_id, live_key.app_id, api_key_id, reason, until
  );
end;
$$;

comment on function rate_limiter_admin.suspend_api_key(uuid, text, timestamptz) is
  E'@resultFieldName suspension\n'
  'Refuses the requests that come with a key, until a moment or until liftSuspension; other keys '
  'of the application work on. For system administrators.';
grant execute on function rate_limiter_admin.suspend_api_key(uuid, text, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/suspensions/suspend_api_key.sql
--! Included rate_limiter_admin/suspensions/lift_suspension.sql
create or replace function rate_limiter_admin.lift_suspension(suspension_id uuid, reason text)
returns rate_limiter.suspensions
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  suspension rate_limiter.suspensions;
begin
  perform rate_limiter_internal.commit_locally();
  perform rate_limiter_internal.require_system_admin('application', 'update');
  perform rate_limiter_internal.require_reason(reason);

  select s.* into suspension
  from rate_limiter.suspensions as s
  where s.suspension_id = lift_suspension.suspension_id;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown suspension',
      detail = format('suspension: %s', suspension_id),
      hint = 'Check the id: it is that of the suspension, and not of what is suspended.';
  end if;

  perform rate_limiter_internal.lock_suspended(
    suspension.tenant_id, suspension.app_id, suspension.api_key_id
  );
  update rate_limiter.suspensions as s
  set lifted_at = at, lift_reason = lift_suspension.reason
  where s.suspension_id = lift_suspension.suspension_id
    and s.lifted_at is null
    and (s.suspended_until is null or s.suspended_until > at)
  returning s.* into suspension;

  if not found then
    raise exception using
      errcode = 'QS409',
      message = 'suspension is over',
      detail = format('suspension: %s', suspension_id),
      hint = 'It was lifted, replaced, or has come to its end.';
  end if;

  perform rate_limiter_internal.sync_suspension(suspension);
  return suspension;
end;
$$;

comment on function rate_limiter_admin.lift_suspension(uuid, text) is
  E'@resultFieldName suspension\n'
  'Ends a suspension before its time. For system administrators.';
grant execute on function rate_limiter_admin.lift_suspension(uuid, text)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/suspensions/lift_suspension.sql
--! Included rate_limiter_private/suspensions/finish_suspension.sql
create or replace function rate_limiter_private.finish_suspension(suspension_id uuid)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  suspension rate_limiter.suspensions;
begin
  perform rate_limiter_internal.commit_locally();
  select s.* into suspension
  from rate_limiter.suspensions as s
  where s.suspension_id = finish_suspension.suspension_id;
  perform rate_limiter_internal.lock_suspended(
    suspension.tenant_id, suspension.app_id, suspension.api_key_id
  );

  -- As it is once that is locked: it may be over meanwhile.
  select s.* into suspension
  from rate_limiter.suspensions as s
  where s.suspension_id = finish_suspension.suspension_id
    and s.lifted_at is null
    and (s.suspended_until is null or s.suspended_until > clock_timestamp());
  if found then
    -- Leases that were granted since are revoked, too.
    suspension.suspended_at := clock_timestamp();
    perform rate_limiter_internal.sync_suspension(suspension);
  end if;
end;
$$;

comment on function rate_limiter_private.finish_suspension(uuid) is
  'Job: does of a suspension what suspend() had to leave, because transactions of the tenant''s '
  'people held it. Waits for them.';
grant execute on function rate_limiter_private.finish_suspension(uuid) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/suspensions/finish_suspension.sql
--! Included rate_limiter/suspensions/suspensions.triggers.sql
create or replace trigger audit_change
  after insert or update or delete on rate_limiter.suspensions
  for each row
  execute function rate_limiter_internal.audit_change('suspension_id');
--! EndIncluded rate_limiter/suspensions/suspensions.triggers.sql
--! Included rate_limiter/suspensions/suspensions.policies.sql
-- Written by functions alone; a tenant sees why its own things are suspended.
alter table rate_limiter.suspensions enable row level security;

drop policy if exists readable on rate_limiter.suspensions;
create policy readable on rate_limiter.suspensions
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('application', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or tenant_id = (select rate_limiter_internal.current_tenant_id())
    )
  );

drop policy if exists monitored on rate_limiter.suspensions;
create policy monitored on rate_limiter.suspensions
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/suspensions/suspensions.policies.sql
--! Included rate_limiter/suspensions/suspensions.grants.sql
revoke all on rate_limiter.suspensions
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.suspensions to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/suspensions/suspensions.grants.sql
