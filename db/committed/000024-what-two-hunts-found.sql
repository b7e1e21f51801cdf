--! Previous: sha1:48226e198bc7c447754e017c0360356c21ab7502
--! Hash: sha1:6c8a9c0761b792320c906fae789676888ffb9c9e
--! Message: what two hunts found

-- The migration being written.

-- NaN is at least 0 to PostgreSQL, and more than any bucket could lack.
update rate_limiter.cost_rules
set c_base_override = nullif(c_base_override, 'NaN'), c_bw_override = nullif(c_bw_override, 'NaN')
where c_base_override = 'NaN' or c_bw_override = 'NaN';
alter table rate_limiter.cost_rules
  drop constraint if exists cost_rule_c_base_check,
  drop constraint if exists cost_rule_c_bw_check,
  add constraint cost_rule_c_base_check check (c_base_override >= 0 and c_base_override <> 'NaN'),
  add constraint cost_rule_c_bw_check check (c_bw_override >= 0 and c_bw_override <> 'NaN');
alter table rate_limiter.operation_types
  drop constraint if exists operation_c_base_check,
  drop constraint if exists operation_c_bw_check,
  add constraint operation_c_base_check check (c_base >= 0 and c_base <> 'NaN'),
  add constraint operation_c_bw_check check (c_bw >= 0 and c_bw <> 'NaN');

-- A period that reaches back before the first moment that a clock can say stopped all retention.
update rate_limiter.retention_policies
set retain_for = '1000 years'
where retain_for > '1000 years';
alter table rate_limiter.retention_policies
  drop constraint if exists retention_is_a_thousand_years_at_most,
  add constraint retention_is_a_thousand_years_at_most check (retain_for <= '1000 years');

--! Included rate_limiter_internal/functions/aggregate_hours.sql
create or replace function rate_limiter_internal.aggregate_hours(
  app_ids uuid[],
  metric_names text[],
  buckets timestamptz[]
)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter.metrics_hourly as known (
    app_id, metric_name, bucket, avg_value, min_value, max_value, median_value, p95_value,
    p99_value, sample_count
  )
  select
    m.app_id,
    m.metric_name,
    c.bucket,
    -- In the order of the values: a sum of doubles depends on it.
    avg(m.value order by m.value),
    min(m.value),
    max(m.value),
    percentile_cont(0.5) within group (order by m.value),
    percentile_cont(0.95) within group (order by m.value),
    percentile_cont(0.99) within group (order by m.value),
    count(*)
  from unnest(app_ids, metric_names, buckets) as c (app_id, metric_name, bucket)
  join rate_limiter.metrics as m
    on m.app_id = c.app_id
    and m.metric_name = c.metric_name
    and m."timestamp" >= c.bucket
    and m."timestamp" < c.bucket + interval '1 hour'
  group by m.app_id, m.metric_name, c.bucket
  on conflict (app_id, metric_name, bucket) do update
  set
    avg_value = excluded.avg_value,
    min_value = excluded.min_value,
    max_value = excluded.max_value,
    median_value = excluded.median_value,
    p95_value = excluded.p95_value,
    p99_value = excluded.p99_value,
    sample_count = excluded.sample_count
  -- Of those that have expired meanwhile, the aggregate is all that is left.
  where excluded.sample_count >= known.sample_count;
$$;

comment on function rate_limiter_internal.aggregate_hours(uuid[], text[], timestamptz[]) is
  'Aggregates these hours anew from all their samples. One whose samples have expired keeps '
  'what it has.';
--! EndIncluded rate_limiter_internal/functions/aggregate_hours.sql
--! Included rate_limiter_internal/functions/aggregate_days.sql
create or replace function rate_limiter_internal.aggregate_days(
  app_ids uuid[],
  metric_names text[],
  buckets timestamptz[]
)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter.metrics_daily as known (
    app_id, metric_name, bucket, avg_value, min_value, max_value, median_value, p95_value,
    p99_value, sample_count
  )
  select
    m.app_id,
    m.metric_name,
    c.bucket,
    -- In the order of the values: a sum of doubles depends on it.
    avg(m.value order by m.value),
    min(m.value),
    max(m.value),
    percentile_cont(0.5) within group (order by m.value),
    percentile_cont(0.95) within group (order by m.value),
    percentile_cont(0.99) within group (order by m.value),
    count(*)
  from unnest(app_ids, metric_names, buckets) as c (app_id, metric_name, bucket)
  join rate_limiter.metrics as m
    on m.app_id = c.app_id
    and m.metric_name = c.metric_name
    and m."timestamp" >= c.bucket
    and m."timestamp" < c.bucket + interval '24 hours'
  group by m.app_id, m.metric_name, c.bucket
  on conflict (app_id, metric_name, bucket) do update
  set
    avg_value = excluded.avg_value,
    min_value = excluded.min_value,
    max_value = excluded.max_value,
    median_value = excluded.median_value,
    p95_value = excluded.p95_value,
    p99_value = excluded.p99_value,
    sample_count = excluded.sample_count
  -- Of those that have expired meanwhile, the aggregate is all that is left.
  where excluded.sample_count >= known.sample_count;
$$;

comment on function rate_limiter_internal.aggregate_days(uuid[], text[], timestamptz[]) is
  'Aggregates these days anew from all their samples. One whose samples have expired keeps '
  'what it has.';
--! EndIncluded rate_limiter_internal/functions/aggregate_days.sql
--! Included rate_limiter_internal/functions/judged_alerts.sql
create or replace function rate_limiter_internal.judged_alerts(at timestamptz)
returns table (
  alert_id uuid,
  every_sample_holds boolean,
  latest_holds boolean,
  latest_value double precision
)
language sql
stable
parallel safe
as $$
  select c.alert_id, in_window.every_one_holds, latest.holds, latest.value
  from rate_limiter.alert_configs as c
  join rate_limiter.applications as a on a.app_id = c.app_id
  cross join lateral (
    select
      bool_and(rate_limiter_internal.alert_holds(m.value, c.condition, c.threshold_value))
        as every_one_holds
    from rate_limiter.metrics as m
    where m.app_id = c.app_id
      and m.metric_name = c.metric_name
      and m."timestamp" > judged_alerts.at - make_interval(secs => c.duration_seconds)
      and m."timestamp" <= judged_alerts.at
  ) as in_window
  -- Of before the window as well: what came between two looks ends an alert too.
  left join lateral (
    select
      m.value,
      rate_limiter_internal.alert_holds(m.value, c.condition, c.threshold_value) as holds
    from rate_limiter.metrics as m
    where m.app_id = c.app_id
      and m.metric_name = c.metric_name
      and m."timestamp" > judged_alerts.at - interval '1 day'
        - make_interval(secs => c.duration_seconds)
      and m."timestamp" <= judged_alerts.at
    order by m."timestamp" desc, m.metric_id
    limit 1
  ) as latest on true
  where c.is_active and a.is_active;
$$;

comment on function rate_limiter_internal.judged_alerts(timestamptz) is
  'What samples say of each active alert: those of its window, null where there are none, and the '
  'latest of the window and the day before it.';
--! EndIncluded rate_limiter_internal/functions/judged_alerts.sql
--! Included rate_limiter_private/functions/login_at.sql
create or replace function rate_limiter_private.login_at(
  at timestamptz,
  email text,
  password text,
  ip_address inet default null,
  user_agent text default null,
  tenant text default null,
  out outcome text,
  out retry_after_ms bigint,
  out user_id uuid,
  out tenant_id uuid,
  out session_id uuid,
  out refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
declare
  wait_until timestamptz;
  candidates integer;
  free_ids uuid[];
  matching_ids uuid[];
  missed_ids uuid[];
begin
  retry_after_ms := 0;

  select a.locked_until
  into wait_until
  from rate_limiter_private.login_addresses as a
  where a.address = rate_limiter_internal.login_network(login_at.ip_address)
    and a.locked_until > login_at.at;

  if found then
    outcome := 'slowed';
    retry_after_ms := ceil(1000 * extract(epoch from wait_until - login_at.at));
    return;
  end if;

  -- The same address may have an account with several tenants. Locked rows are skipped: two
  -- guesses at one account never run side by side, and none waits for another.
  with candidate as (
    select c.user_id
    from rate_limiter.users as c
    join rate_limiter.tenants as t on t.tenant_id = c.tenant_id
    where lower(c.email) = lower(login_at.email)
      and c.is_active
      and t.is_active
      and (login_at.tenant is null or t.name = login_at.tenant)
  ),
  held as (
    select s.user_id, s.locked_until
    from rate_limiter_private.user_secrets as s
    where s.user_id in (select c.user_id from candidate as c)
    for update skip locked
  )
  select
    (
      select count(*)
      from candidate as c
      join rate_limiter_private.user_secrets as s on s.user_id = c.user_id
    ),
    array_agg(h.user_id) filter (where h.locked_until is null or h.locked_until <= login_at.at),
    max(h.locked_until) filter (where h.locked_until > login_at.at)
  into candidates, free_ids, wait_until
  from held as h;

  if candidates > 0 and free_ids is null then
    outcome := 'slowed';
    -- No moment to wait for: another sign-in to the account is being checked just now.
    retry_after_ms := ceil(1000 * coalesce(extract(epoch from wait_until - login_at.at), 1));
    return;
  end if;

  if candidates = 0 then
    -- As slow as for an account that exists, so that time tells nobody which do.
    perform public.crypt(
      login_at.password,
      public.gen_salt('bf', rate_limiter_internal.setting_integer('password_hash_cost')::integer)
    );
  end if;

  select array_agg(f.user_id)
  into matching_ids
  from unnest(free_ids) as f (user_id)
  where rate_limiter_private.verify_password(f.user_id, login_at.password);

  missed_ids := array(
    select f.user_id
    from unnest(free_ids) as f (user_id)
    where f.user_id <> all (coalesce(matching_ids, '{}'))
  );

  -- Also where it lets its owner in elsewhere: whoever makes a user of somebody's address, to see
  -- by the answer whether both have one password, guesses no faster than anybody, and is audited.
  -- The network address counts a guess that nobody's password was: else another tenant's user of
  -- one's address would make one's own sign-ins failures of one's network.
  perform rate_limiter_private.count_login_failure(
    login_at.at, missed_ids, case when matching_ids is null then login_at.ip_address end
  );

  if matching_ids is null or cardinality(matching_ids) > 1 then
    outcome := case when matching_ids is null then 'invalid' else 'ambiguous' end;
    perform rate_limiter_private.audit_login(
      f.user_id, 'login', 'failure',
      case when f.user_id = any (missed_ids) then 'wrong password' else 'tenant not named' end,
      login_at.ip_address, login_at.user_agent
    )
    from unnest(free_ids) as f (user_id);
    return;
  end if;

  -- Not from where: it would tell other tenants from where somebody of theirs, or not, signs in.
  -- The row of the user who did has that, for system administrators, with the same request.
  perform rate_limiter_private.audit_login(
    m.user_id, 'login', 'failure', 'wrong password', null, null
  )
  from unnest(missed_ids) as m (user_id);

  outcome := 'ok';
  user_id := matching_ids[1];

  update rate_limiter_private.user_secrets as s
  set failed_attempts = 0, last_failed_at = null, locked_until = null
  where s.user_id = login_at.user_id
    and s.failed_attempts > 0;

  update rate_limiter.users as u
  set last_login_at = login_at.at, login_count = u.login_count + 1
  where u.user_id = login_at.user_id
  returning u.tenant_id into tenant_id;

  select s.session_id, s.refresh_token, s.refresh_expires_at, s.expires_at
  into session_id, refresh_token, refresh_expires_at, expires_at
  from rate_limiter_private.start_session(
    login_at.at, login_at.user_id, login_at.ip_address, login_at.user_agent
  ) as s;

  perform rate_limiter_private.audit_login(
    login_at.user_id, 'login', 'success', null, login_at.ip_address, login_at.user_agent
  );
end;
$$;

comment on function rate_limiter_private.login_at(
  timestamptz, text, text, inet, text, text
) is
  'login() at a given moment.';
--! EndIncluded rate_limiter_private/functions/login_at.sql
--! Included rate_limiter_private/functions/has_administrator.sql
drop function if exists rate_limiter_private.has_administrator();

create or replace function rate_limiter_private.has_administrator(
  until timestamptz default current_timestamp
)
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
    select
    from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    join rate_limiter.users as u on u.user_id = ur.user_id
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    where r.name = 'system_admin'
      and u.is_active
      and t.is_active
      and (
        ur.expires_at is null
        or (ur.expires_at > current_timestamp and ur.expires_at >= has_administrator.until)
      )
  );
$$;

comment on function rate_limiter_private.has_administrator(timestamptz) is
  'Whether anybody administers the system, now and up to a moment: a first start makes an '
  'administrator where not.';
--! EndIncluded rate_limiter_private/functions/has_administrator.sql
--! Included rate_limiter_internal/functions/administers_until.sql
create or replace function rate_limiter_internal.administers_until(user_ids uuid[])
returns timestamptz
language sql
stable
parallel safe
as $$
  select max(coalesce(ur.expires_at, 'infinity'))
  from rate_limiter.user_roles as ur
  join rate_limiter.roles as r on r.role_id = ur.role_id
  where ur.user_id = any (administers_until.user_ids)
    and r.name = 'system_admin'
    and (ur.expires_at is null or ur.expires_at > current_timestamp);
$$;

comment on function rate_limiter_internal.administers_until(uuid[]) is
  'Until when one of these users is a system administrator while active; null where none is.';
--! EndIncluded rate_limiter_internal/functions/administers_until.sql
--! Included rate_limiter_internal/functions/keep_administrator.sql
create or replace function rate_limiter_internal.keep_administrator()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  taken_until timestamptz;
  taken_from text;
begin
  case tg_table_name
    when 'user_roles' then
      taken_from := format('user: %s', old.user_id);
      -- Who is inactive administers nothing that could be taken.
      select coalesce(old.expires_at, 'infinity')
      into taken_until
      from rate_limiter.roles as r
      where r.role_id = old.role_id
        and r.name = 'system_admin'
        and not exists (
          select
          from rate_limiter.users as u
          join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
          where u.user_id = old.user_id
            and not (u.is_active and t.is_active)
        );
    when 'users' then
      taken_from := format('user: %s', old.user_id);
      select rate_limiter_internal.administers_until(array[old.user_id])
      into taken_until
      from rate_limiter.tenants as t
      where t.tenant_id = old.tenant_id
        and t.is_active;
    when 'tenants' then
      taken_from := format('tenant: %s', old.tenant_id);
      taken_until := rate_limiter_internal.administers_until(array(
        select u.user_id
        from rate_limiter.users as u
        where u.tenant_id = old.tenant_id
          and u.is_active
      ));
  end case;

  if taken_until is null or taken_until <= current_timestamp then
    return null;
  end if;

  -- Two who take it from each other at once would leave nobody: one waits, and sees.
  perform
  from rate_limiter.roles as r
  where r.name = 'system_admin'
  for no key update;

  -- Seen from inside this transaction: nobody could ever appoint the next one. What is left has
  -- to last as long as what is taken, or it would only be a matter of time.
  if not rate_limiter_private.has_administrator(taken_until) then
    raise exception using
      errcode = 'QS409',
      message = 'last system administrator',
      detail = taken_from,
      hint = 'Appoint another one first, for no shorter time.';
  end if;

  return null;
end;
$$;

comment on function rate_limiter_internal.keep_administrator() is
  'Trigger: somebody stays who administers the system, for as long as before.';
--! EndIncluded rate_limiter_internal/functions/keep_administrator.sql
--! Included rate_limiter_admin/functions/expire_role.sql
create or replace function rate_limiter_admin.expire_role(user_id uuid, role text)
returns rate_limiter.user_roles
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  wanted_role_id uuid;
  expired rate_limiter.user_roles;
begin
  perform rate_limiter_internal.require_manageable_user(expire_role.user_id);
  wanted_role_id := rate_limiter_internal.require_grantable_role(expire_role.role);

  update rate_limiter.user_roles as ur
  set expires_at = current_timestamp
  where ur.user_id = expire_role.user_id
    and ur.role_id = wanted_role_id
    and (ur.expires_at is null or ur.expires_at > current_timestamp)
  returning ur.* into expired;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'user does not hold this role',
      detail = format('user: %s, role: %s', expire_role.user_id, expire_role.role),
      hint = 'Perhaps it has expired already.';
  end if;

  return expired;
end;
$$;

comment on function rate_limiter_admin.expire_role(uuid, text) is
  E'@resultFieldName userRole\n'
  'Takes a role from a user of your tenant, from now on.';
grant execute on function rate_limiter_admin.expire_role(uuid, text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/expire_role.sql
--! Included rate_limiter/triggers/user_roles.sql
create or replace trigger set_assigned_by
  before insert on rate_limiter.user_roles
  for each row
  execute function rate_limiter_internal.set_assigned_by();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.user_roles
  for each row
  execute function rate_limiter_internal.audit_change('user_role_id');

create or replace trigger keep_administrator
  after update of expires_at on rate_limiter.user_roles
  for each row
  when (coalesce(new.expires_at, 'infinity') < coalesce(old.expires_at, 'infinity'))
  execute function rate_limiter_internal.keep_administrator();

create or replace trigger keep_administrator_at_delete
  after delete on rate_limiter.user_roles
  for each row
  execute function rate_limiter_internal.keep_administrator();
--! EndIncluded rate_limiter/triggers/user_roles.sql
--! Included rate_limiter/triggers/users.sql
create or replace trigger set_updated_at
  before update on rate_limiter.users
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.users
  for each row
  execute function rate_limiter_internal.audit_change('user_id');

create or replace trigger keep_administrator
  after update of is_active on rate_limiter.users
  for each row
  when (old.is_active and not new.is_active)
  execute function rate_limiter_internal.keep_administrator();
--! EndIncluded rate_limiter/triggers/users.sql
--! Included rate_limiter/triggers/tenants.sql
create or replace trigger set_updated_at
  before update on rate_limiter.tenants
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger tell_applications
  after update of is_active on rate_limiter.tenants
  for each row
  when (old.is_active <> new.is_active)
  execute function rate_limiter_internal.tell_applications();

create or replace trigger refuse_delete_of_tenant
  before delete on rate_limiter.tenants
  for each row
  execute function rate_limiter_internal.refuse_delete_of_tenant();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.tenants
  for each row
  execute function rate_limiter_internal.audit_change('tenant_id');

create or replace trigger keep_administrator
  after update of is_active on rate_limiter.tenants
  for each row
  when (old.is_active and not new.is_active)
  execute function rate_limiter_internal.keep_administrator();
--! EndIncluded rate_limiter/triggers/tenants.sql
--! Included rate_limiter_private/functions/user_of_email.sql
drop function if exists rate_limiter_private.user_of_email(text);

create or replace function rate_limiter_private.user_of_email(
  email text,
  tenant text default null
)
returns uuid
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select case when count(*) = 1 then (array_agg(u.user_id))[1] end
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where lower(u.email) = lower(user_of_email.email)
    and (user_of_email.tenant is null or t.name = user_of_email.tenant)
    and u.is_active
    and t.is_active;
$$;

comment on function rate_limiter_private.user_of_email(text, text) is
  'The one active user with this address, which an identity provider has verified, of the tenant '
  'of this name or, without one, of all; null where there is none, or several tenants have one.';
grant execute on function rate_limiter_private.user_of_email(text, text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/functions/user_of_email.sql
--! Included rate_limiter/functions/verify_ledger.sql
create or replace function rate_limiter.verify_ledger(
  from_time timestamptz default '-infinity',
  to_time timestamptz default 'infinity'
)
returns setof rate_limiter.ledger_gap
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with entries as (
    select
      t.*,
      lag(t.seq) over bucket as seq_before,
      lag(t.balance_after) over bucket as balance_before,
      lead(t.seq) over bucket is null as is_last
    from rate_limiter.token_transactions as t
    where t.created_at >= from_time and t.created_at < to_time
    window bucket as (partition by t.owner_id, t.bucket_type, t.mode order by t.seq)
  ),
  checked as (
    select
      e.*,
      -- The first row of a bucket starts from nothing; the first of the span is taken as given.
      case when e.seq = 1 then 0 else e.balance_before end
        + e.refilled + e.tokens_change as expected_balance
    from entries as e
  )
  select
    c.owner_id, c.bucket_type, c.mode, c.seq, c.created_at, c.expected_balance,
    c.balance_after,
    case
      when c.seq <> c.seq_before + 1 then 'rows are missing before this one'
      else 'the balance does not follow from the row before'
    end
  from checked as c
  where c.seq <> c.seq_before + 1 or c.expected_balance <> c.balance_after
  union all
  select
    b.owner_id, b.bucket_type, b.mode, b.ledger_seq, b.updated_at, c.balance_after,
    b.current_tokens,
    case
      when c.seq is null then 'the bucket''s last row is missing'
      else 'the bucket does not hold what its last row says'
    end
  from rate_limiter.token_buckets as b
  left join checked as c
    on c.owner_id = b.owner_id
    and c.bucket_type = b.bucket_type
    and c.mode = b.mode
    and c.is_last
  where b.updated_at >= from_time
    and b.updated_at < to_time
    and b.ledger_seq > 0
    and (
      c.seq = b.ledger_seq and c.balance_after <> b.current_tokens
      or c.seq is distinct from b.ledger_seq and not exists (
        select from rate_limiter.token_transactions as t
        where t.owner_id = b.owner_id
          and t.bucket_type = b.bucket_type
          and t.mode = b.mode
          and t.seq = b.ledger_seq
          and t.balance_after = b.current_tokens
      )
      -- Of a bucket that nobody has drawn on for long, every row may have expired. It was written
      -- then, or since then for a change of its quota alone.
      and not (
        (
          b.updated_at < (
            select min(p.starts_at)
            from rate_limiter_internal.partitions() as p
            where p.table_name = 'token_transactions'
          )
          or b.last_refill_at = (
            select c.valid_from
            from rate_limiter.quota_configs as c
            where c.config_id = b.config_id
          )
        )
        and not exists (
          select from rate_limiter.token_transactions as t
          where t.owner_id = b.owner_id and t.bucket_type = b.bucket_type and t.mode = b.mode
        )
      )
    );
$$;

comment on function rate_limiter.verify_ledger(timestamptz, timestamptz) is
  'Every place, among the ledger rows from from_time until before to_time, where a balance does '
  'not follow from the row before, rows are missing, or a bucket holds something else than its '
  'last row says, unless all its rows have expired. No row: the ledger explains every token.';
grant execute on function rate_limiter.verify_ledger(timestamptz, timestamptz)
  to rate_limiter_worker, rate_limiter_readonly;
--! EndIncluded rate_limiter/functions/verify_ledger.sql
--! Included rate_limiter_internal/functions/metric_problem.sql
create or replace function rate_limiter_internal.metric_problem(sample jsonb)
returns text
language sql
immutable
parallel safe
return case
  when coalesce(jsonb_typeof(sample -> 'metric_name'), '') <> 'string'
    or sample ->> 'metric_name' !~ '[^[:space:]]'
    or length(sample ->> 'metric_name') > 255
    then 'metric_name is not of 1 to 255 characters'
  -- A caller could otherwise write the system's own numbers, which alerts rely on.
  when starts_with(sample ->> 'metric_name', 'qos_') then 'metric_name begins with qos_'
  when coalesce(jsonb_typeof(sample -> 'value'), '') <> 'number' then 'value is not a number'
  when abs((sample ->> 'value')::numeric) > 1e308 then 'value is out of bounds'
  -- Too small for a double: casting it would fail.
  when (sample ->> 'value')::numeric <> 0 and abs((sample ->> 'value')::numeric) < 1e-300
    then 'value is out of bounds'
  when length(sample ->> 'unit') > 50 then 'unit is longer than 50 characters'
end;

comment on function rate_limiter_internal.metric_problem(jsonb) is
  'What is wrong with a sample for metrics; null if nothing is.';
--! EndIncluded rate_limiter_internal/functions/metric_problem.sql
--! Included rate_limiter_internal/functions/channel_problem.sql
create or replace function rate_limiter_internal.channel_problem(channel jsonb)
returns text
language sql
immutable
parallel safe
as $$
  with allowed (kind, fields) as (
    values
      ('log', array['channel', 'events']),
      ('webhook', array['channel', 'events', 'url', 'secret']),
      ('slack', array['channel', 'events', 'url']),
      ('email', array['channel', 'events', 'to'])
  )
  select case
    when jsonb_typeof(channel) is distinct from 'object' then 'channel is not an object'
    when not exists (select from allowed as a where to_jsonb(a.kind) = channel -> 'channel')
      then 'channel is not webhook, slack, email or log'
    when exists (
      select
      from jsonb_object_keys(channel) as f (field)
      where f.field <> all (
        select unnest(a.fields) from allowed as a where a.kind = channel ->> 'channel'
      )
    )
      then 'channel has a field that it does not take'
    when channel ? 'events' and (
      jsonb_typeof(channel -> 'events') <> 'array'
      or not channel -> 'events' <@ '["triggered", "acknowledged", "resolved"]'
    )
      then 'events are not of triggered, acknowledged and resolved'
    when channel ->> 'channel' in ('webhook', 'slack') and (
      coalesce(jsonb_typeof(channel -> 'url'), '') <> 'string'
      -- No user and password before the host: they would end up in logs.
      or channel ->> 'url' !~ '^https?://[^[:space:]/@]+(/[^[:space:]]*)?$'
      or length(channel ->> 'url') > 2048
    )
      then 'url is not an http or https URL'
    when channel ? 'secret' and (
      jsonb_typeof(channel -> 'secret') <> 'string'
      or length(channel ->> 'secret') not between 16 and 256
    )
      then 'secret is not of 16 to 256 characters'
    when channel ->> 'channel' = 'email' and (
      coalesce(jsonb_typeof(channel -> 'to'), '') <> 'array'
      or jsonb_array_length(channel -> 'to') not between 1 and 20
      or exists (
        select
        from jsonb_array_elements(channel -> 'to') as t (address)
        where jsonb_typeof(t.address) <> 'string'
          or t.address #>> '{}' !~ '^[^[:space:]@,;<>"]+@[^[:space:]@,;<>"]+$'
          or length(t.address #>> '{}') > 254
      )
    )
      then 'to is not a list of 1 to 20 addresses'
  end;
$$;

comment on function rate_limiter_internal.channel_problem(jsonb) is
  'What is wrong with one channel of an alert; null if nothing is.';
--! EndIncluded rate_limiter_internal/functions/channel_problem.sql
--! Included rate_limiter_internal/functions/setting_problem.sql
create or replace function rate_limiter_internal.setting_problem(
  value text,
  value_type text,
  minimum numeric,
  maximum numeric
)
returns text
language sql
immutable
parallel safe
return case
  when value is null then 'a value is required'
  when value_type = 'boolean' and value not in ('true', 'false') then 'must be true or false'
  when value_type = 'integer' and value !~ '^-?[0-9]{1,18}$' then 'must be a whole number'
  when value_type = 'numeric' and value !~ '^-?[0-9]{1,18}([.][0-9]{1,9})?$' then
    'must be a plain decimal number with at most nine digits after the point'
  when value_type in ('integer', 'numeric') and value::numeric < minimum then
    'must be at least ' || minimum
  when value_type in ('integer', 'numeric') and value::numeric > maximum then
    'must be at most ' || maximum
end;

comment on function rate_limiter_internal.setting_problem(text, text, numeric, numeric) is
  'Why a value does not fit a setting of this type and bounds; null where it fits.';
--! EndIncluded rate_limiter_internal/functions/setting_problem.sql
--! Included rate_limiter_admin/functions/create_application.sql
create or replace function rate_limiter_admin.create_application(
  name text,
  cluster_id uuid default null,
  metadata jsonb default '{}',
  tenant_id uuid default null,
  out app_id uuid,
  out api_key_id uuid,
  out api_key text,
  out prefix text
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  owning_tenant_id constant uuid := coalesce(
    create_application.tenant_id, rate_limiter_internal.current_tenant_id()
  );
begin
  perform rate_limiter_internal.require_permission('application', 'create');

  if owning_tenant_id <> rate_limiter_internal.current_tenant_id() then
    perform rate_limiter_internal.require_system_admin('application', 'create');
  end if;

  if not exists (
    select
    from rate_limiter.tenants as t
    where t.tenant_id = owning_tenant_id
      and t.is_active
  ) then
    raise exception using
      errcode = 'QS404',
      message = 'unknown tenant',
      detail = format('tenant: %s', owning_tenant_id),
      hint = 'Name an active tenant, or none for your own.';
  end if;

  if create_application.name !~ '[^[:space:]]' then
    raise exception using
      errcode = 'QS422',
      message = 'name is blank',
      hint = 'Give a name that people know it by.';
  end if;

  if jsonb_typeof(create_application.metadata) <> 'object' then
    raise exception using
      errcode = 'QS422',
      message = 'metadata is not an object',
      hint = 'Give a JSON object, or none.';
  end if;

  if create_application.cluster_id is not null then
    perform rate_limiter_internal.require_cluster(create_application.cluster_id);
  end if;

  insert into rate_limiter.applications as a (tenant_id, cluster_id, name, metadata)
  values (
    owning_tenant_id,
    create_application.cluster_id,
    create_application.name,
    create_application.metadata
  )
  on conflict on constraint app_tenant_name_unique do nothing
  returning a.app_id into app_id;

  if not found then
    raise exception using
      errcode = 'QS409',
      message = 'application already exists',
      detail = format('name: %s', create_application.name),
      hint = 'Names are unique within a tenant.';
  end if;

  select k.api_key_id, k.api_key, k.prefix
  into api_key_id, api_key, prefix
  from rate_limiter_private.issue_api_key(create_application.app_id) as k;
end;
$$;

comment on function rate_limiter_admin.create_application(text, uuid, jsonb, uuid) is
  'Makes an application and its first key, which is shown this once. In your own tenant unless '
  'you administer the system; on a cluster that already hosts one of the tenant, or none.';
grant execute on function rate_limiter_admin.create_application(text, uuid, jsonb, uuid)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/functions/create_application.sql
--! Included rate_limiter_internal/functions/adjust_tokens_at.sql
create or replace function rate_limiter_internal.adjust_tokens_at(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  tokens_change numeric,
  reason text
)
returns numeric
language plpgsql
volatile
parallel unsafe
as $$
declare
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  perform rate_limiter_internal.check_amount(abs(tokens_change), 'tokens_change');
  if reason is null or reason !~ '[^[:space:]]' then
    raise exception using
      errcode = 'QS422',
      message = 'reason is missing',
      hint = 'Say why: the ledger and the audit keep it.';
  end if;

  before := rate_limiter_internal.lock_bucket(at, owner_id, bucket_type, 'enforce');
  perform rate_limiter_internal.require_bucket(before, owner_id, bucket_type);
  after := before;
  after.current_tokens := after.current_tokens + tokens_change;
  if after.current_tokens < 0
    or tokens_change > 0 and after.current_tokens > after.capacity
  then
    raise exception using
      errcode = 'QS422',
      message = 'adjustment leaves the bucket',
      detail = format(
        'tokens: %s, change: %s, capacity: %s',
        before.current_tokens, tokens_change, before.capacity
      ),
      hint = 'A bucket holds from 0 to its capacity: adjust it by less, or change its quota.';
  end if;

  perform rate_limiter_internal.write_buckets(
    at, 'adjust', array[before], array[after], null,
    jsonb_build_object('reason', reason, 'user', rate_limiter_internal.current_user_id())
  );
  return after.current_tokens;
end;
$$;

comment on function rate_limiter_internal.adjust_tokens_at(
  timestamptz, uuid, rate_limiter.bucket_type, numeric, text
) is
  'Adds tokens to a bucket or takes them by hand, with a reason for the ledger; answers what it '
  'holds now. Raises QS404 for an unknown bucket, QS422 where it would leave 0 to capacity.';
--! EndIncluded rate_limiter_internal/functions/adjust_tokens_at.sql
--! Included rate_limiter_internal/functions/check_denials.sql
create or replace function rate_limiter_internal.check_denials(denials jsonb)
returns void
language plpgsql
stable
parallel restricted
as $$
declare
  problem text;
begin
  if jsonb_typeof(denials) <> 'array' then
    problem := 'not an array';
  elsif jsonb_array_length(denials) > 1000 then
    problem := format('%s counts, at most 1000', jsonb_array_length(denials));
  else
    select format('position %s', d.position)
    into problem
    from jsonb_array_elements(denials) with ordinality as d (count, position)
    where rate_limiter_internal.moment_or_null(d.count ->> 'minute') is null
      or coalesce(d.count ->> 'reason', '') not in (
        'iops_l2', 'bandwidth_l2', 'iops_l1', 'bandwidth_l1', 'exceeds_capacity'
      )
      or coalesce(d.count ->> 'operations', '') !~ '^[1-9][0-9]{0,14}$'
      or coalesce(d.count ->> 'tokens', '0') !~ '^[0-9]{1,24}([.][0-9]{1,6})?$'
      or coalesce(d.count ->> 'bytes', '0') !~ '^[0-9]{1,24}([.]0{1,6})?$'
    order by d.position
    limit 1;
  end if;

  if problem is not null then
    raise exception using
      errcode = 'QS422',
      message = 'denials are malformed',
      detail = problem,
      hint = 'Each count has minute, reason, operations, and where known tokens and bytes.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_denials(jsonb) is
  'Raises QS422 unless this is a list of counts of denials that record_denials() can take.';
--! EndIncluded rate_limiter_internal/functions/check_denials.sql
--! Included rate_limiter_internal/functions/complete_application.sql
create or replace function rate_limiter_internal.complete_application()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A tenant that is not there is the foreign key's to refuse. One that stays is not locked: it
  -- tells its applications itself, whose rows it waits for (tell_applications).
  if tg_op = 'INSERT' or new.tenant_id <> old.tenant_id then
    new.tenant_is_active := coalesce((
      select t.is_active from rate_limiter.tenants as t where t.tenant_id = new.tenant_id for share
    ), true);
  end if;
  -- Waits for a quota of the cluster that is being made, and makes a later one wait (add_bucket).
  perform from rate_limiter.clusters as c where c.cluster_id = new.cluster_id for share;
  select
    new.has_shadow or coalesce(bool_or(b.mode = 'shadow'), false),
    coalesce(bool_or(b.mode = 'enforce' and b.bucket_type = 'iops_l1'), false),
    coalesce(bool_or(b.mode = 'enforce' and b.bucket_type = 'bandwidth_l1'), false)
  into new.has_shadow, new.draws_iops, new.draws_bandwidth
  from rate_limiter.token_buckets as b
  where b.owner_id = new.cluster_id;
  return new;
end;
$$;

comment on function rate_limiter_internal.complete_application() is
  'Trigger: copies to an application what decisions would have to look up elsewhere: whether '
  'its tenant is active, and of which kinds its cluster has quotas.';
--! EndIncluded rate_limiter_internal/functions/complete_application.sql
--! Included rate_limiter_internal/functions/consume_at.sql
create or replace function rate_limiter_internal.consume_at(
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint,
  reference_id text default null,
  counts_denials boolean default false
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
-- The hottest code of the product, and flat for that: what changes is read by its key in statements
-- of their own, because arrays, rows that pass between functions, and one statement for all were
-- measured to cost more (docs/performance.md).
declare
  app record;
  cost numeric;
  iops record;
  is_charged boolean := false;
  -- What layer 1 pays; null where it pays nothing.
  iops_drawn numeric;
  bytes_drawn numeric;
  -- The bandwidth bucket as it was looked at.
  bandwidth record;
  bytes_refilled numeric;
  bytes_left numeric;
  may_pay boolean;
  drawn record;
  lost_races integer := 0;
  decision rate_limiter.decision;
begin
  loop
    select
      a.cluster_id, a.has_shadow, a.has_cost_rule, a.has_bandwidth, a.draws_iops,
      a.draws_bandwidth,
      current_setting('synchronous_commit') <> 'off'
        or current_setting('rate_limiter_denials.minute', true) <> '' as has_to_prepare
    into app
    from rate_limiter.applications as a
    where a.app_id = consume_at.app_id and a.is_active and a.tenant_is_active;
    if not found then
      perform rate_limiter_internal.admission_of(app_id);
      -- It was made or activated since it was looked for.
      continue;
    end if;
    if app.has_to_prepare then
      perform rate_limiter_internal.prepare_to_charge(at);
    end if;

    if app.has_cost_rule then
      select rate_limiter_internal.cost_of(
        coalesce(r.c_base_override, o.c_base), coalesce(r.c_bw_override, o.c_bw), o.unit_quantum,
        size_bytes
      )
      into cost
      from rate_limiter.operation_types as o
      left join rate_limiter.cost_rules as r
        on r.app_id = consume_at.app_id
        and r.operation_id = o.operation_id
        and r.is_active
        and r.valid_from <= at
        and (r.valid_to is null or r.valid_to > at)
      where o.name = operation and o.is_active and size_bytes >= 0;
    else
      select rate_limiter_internal.cost_of(o.c_base, o.c_bw, o.unit_quantum, size_bytes)
      into cost
      from rate_limiter.operation_types as o
      where o.name = operation and o.is_active and size_bytes >= 0;
    end if;
    exit when cost is null or cost = 0 or reference_id is not null or app.has_shadow;

    if app.draws_iops or app.draws_bandwidth and size_bytes > 0 then
      iops_drawn := case when app.draws_iops then cost else 0 end;
      bytes_drawn := case when app.draws_bandwidth then size_bytes else 0 end;
    end if;

    -- The short road: the application's own buckets can pay, and so can what was drawn on layer 1
    -- ahead of need. Bandwidth, charged last, is looked at first, so that a denial finds out before
    -- anything is written, and again where it changed while this decision waited for its turn.
    loop
      if app.has_bandwidth then
        select
          b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
          b.last_refill_at
        into bandwidth
        from rate_limiter.token_buckets as b
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.capacity is not null;
        bytes_refilled := rate_limiter_internal.inflow(
          bandwidth.current_tokens, bandwidth.capacity, bandwidth.refill_rate,
          bandwidth.last_refill_at, at
        );
        bytes_left := bandwidth.current_tokens + bytes_refilled - size_bytes;
        exit when (at < bandwidth.terms_until and bytes_left >= 0) is not true;
      end if;

      if iops_drawn is not null and not is_charged then
        select true
        into may_pay
        from rate_limiter_internal.layer_1_stripes as s
        where s.cluster_id = app.cluster_id
          and s.stripe = rate_limiter_internal.own_stripe()
          and rate_limiter_internal.stripe_pays(s, iops_drawn, bytes_drawn, at);
        exit when not found;
      end if;

      if not is_charged then
        -- Waits for its row and looks at it as it then is. Fixed windows are left to
        -- consume_by_draw: what flows into them takes too long to say three times.
        update rate_limiter.token_buckets as b
        set
          current_tokens = b.current_tokens - cost + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          refilled = rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          last_refill_at = greatest(b.last_refill_at, at),
          ledger_seq = b.ledger_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'iops_l2'
          and b.mode = 'enforce'
          and b.calculation_method <> 'fixed_window'
          and at < b.terms_until
          and b.current_tokens + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ) >= cost
        returning b.ledger_seq, b.refilled, b.current_tokens, b.calculation_method
        into iops;
        exit when not found;
        is_charged := true;
      end if;

      if not app.has_bandwidth or size_bytes = 0 then
        insert into rate_limiter.token_transactions (
          owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
          refilled, balance_after
        )
        values (
          app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
          iops.current_tokens
        );
      else
        update rate_limiter.token_buckets as b
        set
          current_tokens = bytes_left,
          refilled = bytes_refilled,
          last_refill_at = greatest(b.last_refill_at, at),
          ledger_seq = bandwidth.ledger_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.ledger_seq = bandwidth.ledger_seq
          and b.last_refill_at = bandwidth.last_refill_at
          and b.terms_until = bandwidth.terms_until;
        continue when not found;

        insert into rate_limiter.token_transactions (
          owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
          refilled, balance_after
        )
        values
          (
            app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
            iops.current_tokens
          ),
          (
            app_id, at, bandwidth.ledger_seq + 1, 'bandwidth_l2', 'enforce', 'consume',
            -size_bytes, bytes_refilled, bytes_left
          );
      end if;
      if iops_drawn is not null then
        update rate_limiter_internal.layer_1_stripes as s
        set iops = s.iops - iops_drawn, bytes = s.bytes - bytes_drawn
        where s.cluster_id = app.cluster_id
          and s.stripe = rate_limiter_internal.own_stripe()
          and rate_limiter_internal.stripe_pays(s, iops_drawn, bytes_drawn, at);
        if not found then
          -- A session that shares the stripe was faster.
          perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
          perform rate_limiter_internal.take_back(
            at, app_id, 'bandwidth_l2', case when app.has_bandwidth then size_bytes end
          );
          is_charged := false;
          exit;
        end if;
      end if;

      return row(
        true, null::text, cost, iops.current_tokens, bytes_left, 0::bigint,
        case when iops.calculation_method = 'leaky_bucket'
          then rate_limiter_internal.leaky_delay_of(app_id, cost)
          else 0
        end
      );
    end loop;

    if is_charged then
      -- Others were faster, and what they left of the bandwidth cannot pay.
      insert into rate_limiter.token_transactions (
        owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
        balance_after
      )
      values (
        app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
        iops.current_tokens
      );
      perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
      exit;
    elsif bytes_left < 0 then
      decision := rate_limiter_internal.refusal_at(at, app_id, app.cluster_id, cost, size_bytes);
      exit;
    end if;
    drawn := rate_limiter_internal.consume_by_draw(
      at, app_id, app.cluster_id, cost, size_bytes, coalesce(iops_drawn, 0),
      coalesce(bytes_drawn, 0)
    );
    decision := drawn.decision;
    exit when not drawn.lost_race;
    lost_races := lost_races + 1;
    exit when lost_races = 3;
  end loop;

  if decision.allowed is null then
    if cost is null then
      cost := rate_limiter_internal.cost_at(at, app_id, operation, coalesce(size_bytes, 0));
    end if;
    perform rate_limiter_internal.check_reference(reference_id);
    decision := (rate_limiter_internal.consume_exactly(
      at, app_id, app.cluster_id, array[operation], array[coalesce(size_bytes, 0)], array[cost],
      case when reference_id is not null then array[reference_id] end
    ))[1];
  end if;
  if counts_denials then
    return rate_limiter_internal.note_decision(at, app_id, size_bytes, decision);
  end if;
  return decision;
end;
$$;

comment on function rate_limiter_internal.consume_at(
  timestamptz, uuid, text, bigint, text, boolean
) is
  'consume() at a moment of the caller''s choice: for tests and replay, which count no denials. '
  'Under a reference that was charged before, and not refunded, it answers as then and takes '
  'nothing. Plain decisions take a short road that locks nothing ahead; all others, and those that '
  'lose three races, the one of consume_exactly.';
--! EndIncluded rate_limiter_internal/functions/consume_at.sql
--! Included rate_limiter_internal/functions/consume_batch_at.sql
create or replace function rate_limiter_internal.consume_batch_at(
  at timestamptz,
  app_id uuid,
  operations text[],
  sizes bigint[],
  reference_ids text[] default null
)
returns setof rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
declare
  admission record;
  whole_sizes bigint[];
begin
  perform rate_limiter_internal.check_batch(operations, sizes, reference_ids);
  admission := rate_limiter_internal.admission_of(app_id);
  -- Denials of an earlier minute are written first: whoever writes both writes them in this order.
  perform rate_limiter_internal.prepare_to_charge(at);
  whole_sizes := array(select coalesce(s.size, 0) from unnest(sizes) as s (size));

  return query select d.* from unnest(rate_limiter_internal.consume_exactly(
    at, app_id, admission.cluster_id, operations, whole_sizes,
    rate_limiter_internal.costs_at(at, app_id, operations, whole_sizes), reference_ids
  )) as d;
end;
$$;

comment on function rate_limiter_internal.consume_batch_at(
  timestamptz, uuid, text[], bigint[], text[]
) is 'consume_batch() at a moment of the caller''s choice: for tests and replay.';
--! EndIncluded rate_limiter_internal/functions/consume_batch_at.sql
--! Included rate_limiter_internal/functions/consume_by_draw.sql
create or replace function rate_limiter_internal.consume_by_draw(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  cost numeric,
  bytes numeric,
  iops_drawn numeric,
  bytes_drawn numeric,
  out decision rate_limiter.decision,
  out lost_race boolean
)
language plpgsql
volatile
parallel unsafe
as $$
-- As flat as consume_at, and for the same reason; what touches layer 1 is in functions of its own,
-- because stripes keep that rare.
declare
  iops record;
  bandwidth record;
  -- Null where the application has no such bucket.
  iops_left numeric;
  bytes_left numeric;
  stripe record;
  iops_draw rate_limiter_internal.layer_1_draw;
  bytes_draw rate_limiter_internal.layer_1_draw;
  is_iops_charged boolean := false;
  is_bytes_charged boolean := false;
  is_iops_drawn boolean := false;
begin
  lost_race := false;

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
    b.calculation_method, b.last_refill_at,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into iops
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'iops_l2' and b.mode = 'enforce';

  if at >= iops.terms_until then
    return;
  end if;
  iops_left := iops.current_tokens + iops.refilled - cost;
  if iops_left < 0 then
    decision := rate_limiter_internal.refusal_at(at, app_id, cluster_id, cost, bytes);
    return;
  end if;

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.last_refill_at,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into bandwidth
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'bandwidth_l2' and b.mode = 'enforce';

  if at >= bandwidth.terms_until then
    return;
  end if;
  bytes_left := bandwidth.current_tokens + bandwidth.refilled - bytes;
  if bytes_left < 0 then
    decision := rate_limiter_internal.refusal_at(at, app_id, cluster_id, cost, bytes);
    return;
  end if;

  if iops_drawn > 0 or bytes_drawn > 0 then
    select
      e.layer_1_allotment_ms as allotment_ms,
      case when s.expires_at > at then s.iops else 0 end as iops,
      case when s.expires_at > at then s.bytes else 0 end as bytes
    into stripe
    from rate_limiter_internal.engine_settings as e
    left join rate_limiter_internal.layer_1_stripes as s
      on s.cluster_id = consume_by_draw.cluster_id
      and s.stripe = rate_limiter_internal.own_stripe();
    iops_draw := rate_limiter_internal.layer_1_draw_at(
      at, cluster_id, 'iops_l1', iops_drawn, stripe.iops, stripe.allotment_ms
    );
    bytes_draw := rate_limiter_internal.layer_1_draw_at(
      at, cluster_id, 'bandwidth_l1', bytes_drawn, stripe.bytes, stripe.allotment_ms
    );
    if not iops_draw.is_possible or not bytes_draw.is_possible then
      return;
    end if;
  end if;

  if iops_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = iops_left,
      refilled = iops.refilled,
      last_refill_at = greatest(iops.last_refill_at, at),
      ledger_seq = iops.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'iops_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = iops.ledger_seq
      and b.last_refill_at = iops.last_refill_at
      and b.terms_until = iops.terms_until;
    is_iops_charged := found;
    if not found then
      lost_race := true;
      return;
    end if;
  end if;

  if bytes > 0 and bytes_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = bytes_left,
      refilled = bandwidth.refilled,
      last_refill_at = greatest(bandwidth.last_refill_at, at),
      ledger_seq = bandwidth.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'bandwidth_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = bandwidth.ledger_seq
      and b.last_refill_at = bandwidth.last_refill_at
      and b.terms_until = bandwidth.terms_until;
    is_bytes_charged := found;
    -- The first bucket was as it was read and this one no longer.
    lost_race := not found;
  end if;

  insert into rate_limiter.token_transactions (
    owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
    balance_after
  )
  select
    app_id, at, c.seq_before + 1, c.bucket_type, 'enforce', 'consume', -c.tokens, c.refilled,
    c.balance
  from (
    values
      (
        is_iops_charged, iops.ledger_seq, 'iops_l2'::rate_limiter.bucket_type, cost,
        iops.refilled, iops_left
      ),
      (
        is_bytes_charged, bandwidth.ledger_seq, 'bandwidth_l2', bytes, bandwidth.refilled,
        bytes_left
      )
  ) as c (is_charged, seq_before, bucket_type, tokens, refilled, balance)
  where c.is_charged;

  -- Layer 2, the stripe, layer 1: in this order everybody locks them, and layer 1 is held the
  -- shortest, because all applications of the cluster wait for its rows.
  if not lost_race
    and iops_draw.taken + iops_draw.kept + bytes_draw.taken + bytes_draw.kept > 0
  then
    lost_race := not rate_limiter_internal.take_from_stripe(
      at, cluster_id, iops_draw.taken, bytes_draw.taken
    );
  end if;
  if iops_draw.drawn > 0 and not lost_race then
    is_iops_drawn := rate_limiter_internal.draw_on_layer_1(
      at, cluster_id, 'iops_l1', iops_draw, stripe.allotment_ms
    );
    lost_race := not is_iops_drawn;
  end if;
  if bytes_draw.drawn > 0 and not lost_race then
    lost_race := not rate_limiter_internal.draw_on_layer_1(
      at, cluster_id, 'bandwidth_l1', bytes_draw, stripe.allotment_ms
    );
  end if;

  if lost_race then
    -- What the stripe paid lapses.
    perform rate_limiter_internal.take_back(
      at, app_id, 'iops_l2', case when is_iops_charged then cost end
    );
    perform rate_limiter_internal.take_back(
      at, app_id, 'bandwidth_l2', case when is_bytes_charged then bytes end
    );
    perform rate_limiter_internal.take_back(
      at, cluster_id, 'iops_l1', case when is_iops_drawn then iops_draw.drawn end
    );
    return;
  end if;
  if iops_draw.kept > 0 or bytes_draw.kept > 0 then
    perform rate_limiter_internal.keep_in_stripe(at, cluster_id, iops_draw.kept, bytes_draw.kept);
  end if;

  decision := row(
    true, null, cost, iops_left, bytes_left, 0,
    case when iops.calculation_method = 'leaky_bucket'
      then rate_limiter_internal.leaky_delay_ms(iops_left + cost, iops.capacity, iops.refill_rate)
      else 0
    end
  );
end;
$$;

comment on function rate_limiter_internal.consume_by_draw(
  timestamptz, uuid, uuid, numeric, numeric, numeric, numeric
) is
  'Decides on an operation of a fixed window, or whose draw on layer 1 the session''s stripe does '
  'not pay: charges it and draws for it, and for the stripe ahead of need, or denies it. A null '
  'decision is left to be made under locks, or, after a lost race, to be tried again; nothing is '
  'charged then.';
--! EndIncluded rate_limiter_internal/functions/consume_by_draw.sql
--! Included rate_limiter_internal/functions/credit_bucket.sql
create or replace function rate_limiter_internal.credit_bucket(
  at timestamptz,
  bucket rate_limiter.token_buckets,
  tokens numeric
)
returns rate_limiter.token_buckets
language plpgsql
immutable
parallel safe
as $$
declare
  is_window constant boolean := bucket.calculation_method = 'fixed_window';
  -- A window that has begun never begins anew: it would give its tokens twice.
  earliest constant timestamptz := case when is_window
    then at + format('%s ms', rate_limiter_internal.fixed_window_wait_ms(
      at, bucket.burst_duration_seconds, at
    ))::interval
    else at end;
  left_over numeric;
  held numeric;
  owed_us numeric;
  forgiven_us numeric;
begin
  -- What a charge took beyond the bucket is owed in time, and paid first: tokens that could be
  -- spent while it is owed would be more than the bucket holds.
  held := case when bucket.current_tokens = 0 and not is_window then 0
    else least(tokens, greatest(bucket.capacity - bucket.current_tokens, 0)) end;
  bucket.current_tokens := bucket.current_tokens + held;
  left_over := tokens - held;

  if bucket.last_refill_at > earliest then
    owed_us := trunc(extract(epoch from bucket.last_refill_at - earliest) * 1000000);
    forgiven_us := least(owed_us, div(left_over * 1000000, bucket.refill_rate));
    bucket.last_refill_at := bucket.last_refill_at - format('%s us', forgiven_us)::interval;
    left_over := case when forgiven_us = owed_us
      then left_over - forgiven_us * bucket.refill_rate * 0.000001 else 0 end;
  end if;
  bucket.current_tokens := bucket.current_tokens
    + least(left_over, greatest(bucket.capacity - bucket.current_tokens, 0));
  return bucket;
end;
$$;

comment on function rate_limiter_internal.credit_bucket(
  timestamptz, rate_limiter.token_buckets, numeric
) is
  'A bucket, as it stands at a moment, after tokens were given back to it: what it owes in time '
  'is shortened first, rounded down to a microsecond, and what is left is held, up to its '
  'capacity. Of a window the tokens come first, and none that has begun begins anew.';
--! EndIncluded rate_limiter_internal/functions/credit_bucket.sql
--! Included rate_limiter_internal/functions/moment_or_null.sql
create or replace function rate_limiter_internal.moment_or_null(spelled text)
returns timestamptz
language plpgsql
stable
parallel restricted
as $$
begin
  -- A date with an offset: without one its meaning would hang on the session's time zone.
  if spelled ~ (
    '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?'
    '(Z|[+-][0-9]{2}(:?[0-9]{2})?)$'
  ) then
    return spelled::timestamptz;
  end if;
  return null;
exception
  when invalid_datetime_format or datetime_field_overflow or invalid_parameter_value
    or invalid_time_zone_displacement_value
  then
    return null;
end;
$$;

comment on function rate_limiter_internal.moment_or_null(text) is
  'The moment that an ISO 8601 text with an offset names; null for anything else.';
--! EndIncluded rate_limiter_internal/functions/moment_or_null.sql
--! Included rate_limiter_internal/functions/require_reason.sql
create or replace function rate_limiter_internal.require_reason(reason text)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if reason is null or reason !~ '[^[:space:]]' then
    raise exception using
      errcode = 'QS422',
      message = 'reason is missing',
      hint = 'Say why: the history keeps it.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_reason(text) is
  'Raises QS422 where no reason is given.';
--! EndIncluded rate_limiter_internal/functions/require_reason.sql
--! Included rate_limiter_private/functions/apply_retention.sql
create or replace function rate_limiter_private.apply_retention(
  at timestamptz default clock_timestamp()
)
returns table (
  data_type text,
  action text,
  export_first boolean,
  relation text,
  partition_name text,
  cutoff timestamptz,
  row_count bigint
)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
declare
  step record;
begin
  for step in
    select p.* from rate_limiter_private.retention_plan(at) as p
  loop
    if step.partition_name is not null and not step.export_first then
      perform rate_limiter_private.drop_partition(step.partition_name);
      continue;
    end if;

    data_type := step.data_type;
    action := step.action;
    export_first := step.export_first;
    relation := step.relation;
    partition_name := step.partition_name;
    cutoff := step.cutoff;
    row_count := step.row_count;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_private.apply_retention(timestamptz) is
  'Job: drops every expired partition that need not be exported, and answers what is left to do '
  'in transactions of their own: partitions to export (export_partition, then '
  'drop_exported_partition) and rows to expire (export_rows where asked for, then expire_rows).';
grant execute on function rate_limiter_private.apply_retention(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/apply_retention.sql
--! Included rate_limiter_private/functions/drop_exported_partition.sql
create or replace function rate_limiter_private.drop_exported_partition(
  partition_name text,
  row_count bigint,
  min_time timestamptz,
  max_time timestamptz
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
declare
  found_extent record;
begin
  if exists (
    select
    from rate_limiter_internal.partitions() as p
    where p.partition_name = drop_exported_partition.partition_name
  ) then
    execute format(
      'lock table rate_limiter_partitions.%I in share mode',
      drop_exported_partition.partition_name
    );
    found_extent := rate_limiter_private.partition_extent(partition_name);
    if (found_extent.row_count, found_extent.min_time, found_extent.max_time)
      is distinct from (row_count, min_time, max_time)
    then
      raise exception using
        errcode = 'QS409',
        message = 'partition changed after its export',
        detail = format(
          'partition: %s, exported: %s, there now: %s',
          drop_exported_partition.partition_name, row_count, found_extent.row_count
        ),
        hint = 'Export it again.';
    end if;
  end if;

  perform rate_limiter_private.drop_partition(partition_name);
end;
$$;

comment on function rate_limiter_private.drop_exported_partition(
  text, bigint, timestamptz, timestamptz
) is
  'Drops an expired partition that still holds what its export says, and nothing more.';
grant execute on function rate_limiter_private.drop_exported_partition(
  text, bigint, timestamptz, timestamptz
) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/drop_exported_partition.sql
--! Included rate_limiter_private/functions/drop_partition.sql
create or replace function rate_limiter_private.drop_partition(
  partition_name text,
  at timestamptz default current_timestamp
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
declare
  expired_name text;
begin
  -- A caller's clock that runs ahead makes nothing expire.
  select e.partition_name
  into expired_name
  from rate_limiter_private.expired_partitions(least(drop_partition.at, clock_timestamp())) as e
  where e.partition_name = drop_partition.partition_name;

  if not found then
    raise exception using
      errcode = 'QS409',
      message = 'partition has not expired',
      detail = format('partition: %s', drop_partition.partition_name),
      hint = 'Only what is older than its retention policy can be dropped.';
  end if;

  execute format('drop table rate_limiter_partitions.%I', expired_name);
end;
$$;

comment on function rate_limiter_private.drop_partition(text, timestamptz) is
  'Drops one partition that has expired. Where its policy says export first, that is the '
  'caller''s to have done.';
grant execute on function rate_limiter_private.drop_partition(text, timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/drop_partition.sql
--! Included rate_limiter_private/functions/drop_partitions.sql
create or replace function rate_limiter_private.drop_partitions(
  at timestamptz default current_timestamp,
  dry_run boolean default false
)
returns table (partition_name text, starts_at timestamptz, ends_at timestamptz)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms'
as $$
declare
  expired record;
begin
  for expired in
    select e.partition_name, e.starts_at, e.ends_at
    from rate_limiter_private.expired_partitions(drop_partitions.at) as e
    where not e.export_first
  loop
    if not drop_partitions.dry_run then
      perform rate_limiter_private.drop_partition(expired.partition_name, drop_partitions.at);
    end if;

    partition_name := expired.partition_name;
    starts_at := expired.starts_at;
    ends_at := expired.ends_at;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_private.drop_partitions(timestamptz, boolean) is
  'Drops every expired partition that need not be exported first; answers which, and with '
  'dry_run only that.';
grant execute on function rate_limiter_private.drop_partitions(timestamptz, boolean)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/drop_partitions.sql
--! Included rate_limiter_private/functions/expired_partitions.sql
create or replace function rate_limiter_private.expired_partitions(
  at timestamptz default current_timestamp
)
returns table (
  data_type text,
  schema_name text,
  table_name text,
  partition_name text,
  starts_at timestamptz,
  ends_at timestamptz,
  export_first boolean
)
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    t.data_type, t.schema_name, t.table_name, p.partition_name, p.starts_at, p.ends_at,
    policy.export_first
  from rate_limiter_internal.partitions() as p
  join rate_limiter_private.partitioned_tables as t
    on t.schema_name = p.schema_name and t.table_name = p.table_name
  join rate_limiter.retention_policies as policy on policy.data_type = t.data_type
  where policy.is_active
    and policy.action = 'drop_partitions'
    and not p.is_default
    and p.ends_at
      <= expired_partitions.at - rate_limiter_internal.retention_period(t.data_type)
  -- In the order in which decisions write them: denial_counts, then token_transactions.
  order by t.schema_name, t.table_name, p.ends_at;
$$;

comment on function rate_limiter_private.expired_partitions(timestamptz) is
  'The partitions whose youngest row could be no younger than their retention policy keeps.';
grant execute on function rate_limiter_private.expired_partitions(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/expired_partitions.sql
--! Included rate_limiter_private/functions/make_partition.sql
create or replace function rate_limiter_private.make_partition(
  schema_name name,
  table_name name,
  starts_at timestamptz
)
returns text
language plpgsql
volatile
parallel unsafe
as $$
declare
  registered rate_limiter_private.partitioned_tables;
  partition_name text;
  ends_at timestamptz;
begin
  select t.*
  into strict registered
  from rate_limiter_private.partitioned_tables as t
  where t.schema_name = make_partition.schema_name
    and t.table_name = make_partition.table_name;

  partition_name := rate_limiter_internal.partition_name(
    registered.table_name, registered.period, make_partition.starts_at
  );
  ends_at := rate_limiter_internal.period_start(
    make_partition.starts_at, registered.period, 1
  );

  -- Made apart, then attached: "create … partition of" would lock the parent against readers.
  execute format(
    'create table rate_limiter_partitions.%I (like %I.%I including defaults
      including constraints including generated including storage including compression
      including comments)
    with (autovacuum_vacuum_insert_scale_factor = %L, autovacuum_analyze_scale_factor = %L)',
    partition_name, registered.schema_name, registered.table_name,
    registered.vacuum_insert_scale_factor, registered.analyze_scale_factor
  );
  if registered.statistics_target is not null then
    execute (
      select format(
        'alter table rate_limiter_partitions.%I %s', partition_name,
        string_agg(
          format('alter column %I set statistics %s', a.attname, registered.statistics_target),
          ', '
        )
      )
      from pg_attribute as a
      where a.attrelid = format('rate_limiter_partitions.%I', partition_name)::regclass
        and a.attnum > 0
    );
  end if;
  -- A row on its way to the default partition would be refused once this one takes its period:
  -- where that is the present, who writes waits here, before it has chosen a partition.
  if clock_timestamp() between make_partition.starts_at - interval '1 minute'
    and ends_at + interval '1 minute'
  then
    execute format(
      'lock table %I.%I in share row exclusive mode',
      registered.schema_name, registered.table_name
    );
  end if;
  execute format(
    'alter table %I.%I attach partition rate_limiter_partitions.%I for values from (%L) to (%L)',
    registered.schema_name, registered.table_name, partition_name,
    make_partition.starts_at, ends_at
  );

  return partition_name;
end;
$$;

comment on function rate_limiter_private.make_partition(name, name, timestamptz) is
  'Makes the partition of a registered table that starts at a moment; answers its name.';
--! EndIncluded rate_limiter_private/functions/make_partition.sql
--! Included rate_limiter_private/functions/move_stragglers.sql
create or replace function rate_limiter_private.move_stragglers(
  at timestamptz default current_timestamp
)
returns table (table_name text, moved_rows bigint)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '5s'
as $$
begin
  perform pg_advisory_xact_lock(hashtext('rate_limiter_partitions'));

  -- In the order in which decisions write them: denial_counts, then token_transactions.
  return query
  select t.schema_name || '.' || t.table_name, moved.rows
  from (
    select p.*
    from rate_limiter_private.partitioned_tables as p
    order by p.schema_name, p.table_name
  ) as t
  cross join lateral (
    select rate_limiter_private.move_stragglers_of(
      t.schema_name, t.table_name, move_stragglers.at
    )
  ) as moved (rows)
  where moved.rows > 0;
end;
$$;

comment on function rate_limiter_private.move_stragglers(timestamptz) is
  'Moves rows that came too early or too late for a partition of their own out of the default '
  'partitions; answers how many of which table.';
grant execute on function rate_limiter_private.move_stragglers(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/functions/move_stragglers.sql
