--! Previous: sha1:3759d538019283e21bd26e3da7ba3ccc0f9b6fbd
--! Hash: sha1:ea1074cf79bab4117b08087b711f421d2a1e5a01
--! Message: costs quota checks and reservations

-- Costs
--! Included rate_limiter_internal/costs/cost_of.sql
create or replace function rate_limiter_internal.cost_of(
  c_base numeric,
  c_bw numeric,
  unit_quantum bigint,
  size_bytes bigint
)
returns numeric
language sql
immutable
parallel safe
as $$
  -- Integer division: numeric division rounds, and c_base has four digits, so rounding up the
  -- rest rounds up the sum.
  select c_base
    + div(size_bytes * (c_bw * 1000000) + unit_quantum - 1, unit_quantum) * 0.000001;
$$;

comment on function rate_limiter_internal.cost_of(numeric, numeric, bigint, bigint) is
  'Tokens for an operation of a size in bytes: c_base + size / unit_quantum * c_bw, rounded up '
  'to six digits.';
--! EndIncluded rate_limiter_internal/costs/cost_of.sql
--! Included rate_limiter_internal/costs/write_app_costs.sql
create or replace function rate_limiter_internal.write_app_costs(
  operation_id uuid,
  rule_id uuid default null
)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter.app_costs (
    shard_key, app_id, operation, valid_from, valid_to, c_base, c_bw, unit_quantum, rule_id
  )
  select
    a.shard_key, r.app_id, o.name, r.valid_from, r.valid_to, coalesce(r.c_base_override, o.c_base),
    coalesce(r.c_bw_override, o.c_bw), o.unit_quantum, r.rule_id
  from rate_limiter.operation_types as o
  join rate_limiter.cost_rules as r on r.operation_id = o.operation_id
  join rate_limiter.applications as a on a.app_id = r.app_id
  where o.operation_id = write_app_costs.operation_id
    and (write_app_costs.rule_id is null or r.rule_id = write_app_costs.rule_id)
    and o.is_active
    and r.is_active
  order by r.app_id, r.valid_from;
$$;

comment on function rate_limiter_internal.write_app_costs(uuid, uuid) is
  'Copies what an operation costs by all of its active cost rules, or by one, to where decisions '
  'look for it. The caller has removed older copies, and holds the operation.';
--! EndIncluded rate_limiter_internal/costs/write_app_costs.sql
--! Included rate_limiter_internal/costs/sync_operation_costs.sql
create or replace function rate_limiter_internal.sync_operation_costs()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- One that moves is waited for, and none moves before this is over.
  perform
  from rate_limiter.app_facts as f
  where f.app_id in (
    select r.app_id from rate_limiter.cost_rules as r where r.operation_id = new.operation_id
  )
  order by f.app_id
  for key share;

  delete from rate_limiter.app_costs as c
  using rate_limiter.cost_rules as r
  join rate_limiter.applications as a on a.app_id = r.app_id
  where r.operation_id = new.operation_id
    and c.shard_key = a.shard_key
    and c.app_id = r.app_id
    and c.rule_id = r.rule_id;
  perform rate_limiter_internal.write_app_costs(new.operation_id);
  return null;
end;
$$;

comment on function rate_limiter_internal.sync_operation_costs() is
  'Trigger: copies a change of the list to the costs of applications, whose rules may leave a part '
  'of it as it is.';
--! EndIncluded rate_limiter_internal/costs/sync_operation_costs.sql
--! Included rate_limiter_internal/costs/sync_cost_rule.sql
create or replace function rate_limiter_internal.sync_cost_rule()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform
  from rate_limiter.applications as a
  where a.app_id in (old.app_id, new.app_id)
  order by a.app_id
  for no key update;
  -- A change of the list that is under way is waited for, and a later one waits.
  perform
  from rate_limiter.operation_types as o
  where o.operation_id = new.operation_id
  for share;

  delete from rate_limiter.app_costs as c
  -- The facts may have left with the application.
  where c.shard_key = coalesce(rate_limiter_internal.app_shard_key(old.app_id), c.shard_key)
    and c.app_id = old.app_id
    and c.rule_id = old.rule_id;
  perform rate_limiter_internal.write_app_costs(new.operation_id, new.rule_id);

  if tg_op = 'INSERT' then
    update rate_limiter.app_facts as f
    set has_cost_rule = true
    where f.app_id = new.app_id and not f.has_cost_rule;
  else
    perform rate_limiter_internal.sync_quota_flags(
      clock_timestamp(),
      case tg_op when 'DELETE' then array[old.app_id] else array[old.app_id, new.app_id] end
    );
  end if;
  return null;
end;
$$;

comment on function rate_limiter_internal.sync_cost_rule() is
  'Trigger: copies what a cost rule comes to, and whether an application has one, to where '
  'decisions look for it.';
--! EndIncluded rate_limiter_internal/costs/sync_cost_rule.sql
--! Included rate_limiter_internal/costs/check_operation.sql
create or replace function rate_limiter_internal.check_operation(operation text)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if length(operation) > 255 then
    raise exception using
      errcode = 'QS422',
      message = 'operation is longer than 255 characters',
      detail = format('length: %s', length(operation)),
      hint = 'Use a name from operation_costs().';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_operation(text) is
  'Raises QS422 for what cannot be the name of an operation. Called before an unknown operation is '
  'named in an error: the look-up of one that exists needs no check.';
--! EndIncluded rate_limiter_internal/costs/check_operation.sql
--! Included rate_limiter_internal/costs/cost_at.sql
create or replace function rate_limiter_internal.cost_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint
)
returns numeric
language plpgsql
stable
parallel safe
as $$
declare
  c_base numeric;
  c_bw numeric;
  unit_quantum bigint;
  operation_is_active boolean;
  own record;
begin
  -- Two look-ups by key: as one join this takes half as long again.
  select o.c_base, o.c_bw, o.unit_quantum, o.is_active
  into c_base, c_bw, unit_quantum, operation_is_active
  from rate_limiter.operation_types as o
  where o.name = operation;

  if not found then
    perform rate_limiter_internal.check_operation(operation);
    raise exception using
      errcode = 'QS404',
      message = 'unknown operation',
      detail = format('operation: %s', operation),
      hint = 'Use a name from operation_costs(), or have an operation added.';
  elsif not operation_is_active then
    raise exception using
      errcode = 'QS403',
      message = 'operation is inactive',
      detail = format('operation: %s', operation),
      hint = 'An administrator can activate the operation again.';
  elsif size_bytes < 0 then
    raise exception using
      errcode = 'QS422',
      message = 'size is negative',
      detail = format('size_bytes: %s', size_bytes),
      hint = 'Give the size of the operation in bytes, 0 or more.';
  end if;

  select c.c_base, c.c_bw, c.unit_quantum
  into own
  from rate_limiter.app_costs as c
  where c.shard_key = cost_at.shard_key
    and c.app_id = cost_at.app_id
    and c.operation = cost_at.operation
    and c.valid_from <= at
    and (c.valid_to is null or c.valid_to > at);

  return rate_limiter_internal.cost_of(
    coalesce(own.c_base, c_base), coalesce(own.c_bw, c_bw),
    coalesce(own.unit_quantum, unit_quantum), size_bytes
  );
end;
$$;

comment on function rate_limiter_internal.cost_at(integer, timestamptz, uuid, text, bigint) is
  'Tokens that an operation of a size in bytes costs an application at a moment, by its cost '
  'rule where it has one. Raises QS404 for an unknown operation, QS403 for an inactive one, '
  'QS422 for a negative size.';
--! EndIncluded rate_limiter_internal/costs/cost_at.sql
--! Included rate_limiter_internal/costs/past_cost_at.sql
create or replace function rate_limiter_internal.past_cost_at(
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint
)
returns numeric
language sql
stable
parallel safe
as $$
  select rate_limiter_internal.cost_of(
    coalesce(r.c_base_override, o.c_base), coalesce(r.c_bw_override, o.c_bw),
    o.unit_quantum, past_cost_at.size_bytes
  )
  from rate_limiter.operation_types as o
  left join rate_limiter.cost_rules as r
    on r.app_id = past_cost_at.app_id
    and r.operation_id = o.operation_id
    and r.is_active
    and r.valid_from <= at
    and (r.valid_to is null or r.valid_to > at)
  where o.name = past_cost_at.operation;
$$;

comment on function rate_limiter_internal.past_cost_at(timestamptz, uuid, text, bigint) is
  'cost_at for an operation that was admitted: it may have been retired since.';
--! EndIncluded rate_limiter_internal/costs/past_cost_at.sql
--! Included rate_limiter_internal/costs/cost_rates_at.sql
create or replace function rate_limiter_internal.cost_rates_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  operations text[],
  sizes bigint[]
)
returns rate_limiter_internal.cost_rates[]
language plpgsql
stable
parallel safe
as $$
declare
  listed record;
  cost numeric;
begin
  select
    array_agg(
      row(o.c_base, o.c_bw, o.unit_quantum)::rate_limiter_internal.cost_rates
      order by w.ordinality
    ) as rates,
    min(w.ordinality) filter (where o.is_active is not true or w.size < 0) as wrong
  into listed
  from unnest(operations, sizes) with ordinality as w (operation, size, ordinality)
  left join rate_limiter.operation_types as o on o.name = w.operation;
  if listed.wrong is not null then
    -- It raises what is wrong with an operation that has no cost.
    cost := rate_limiter_internal.cost_at(
      shard_key, at, app_id, operations[listed.wrong], coalesce(sizes[listed.wrong], 0)
    );
  end if;

  return array(
    select row(
      coalesce(c.c_base, w.c_base), coalesce(c.c_bw, w.c_bw),
      coalesce(c.unit_quantum, w.unit_quantum)
    )::rate_limiter_internal.cost_rates
    from rows from (unnest(operations), unnest(listed.rates)) with ordinality
      as w (operation, c_base, c_bw, unit_quantum, place)
    left join rate_limiter.app_costs as c
      on c.shard_key = cost_rates_at.shard_key
      and c.app_id = cost_rates_at.app_id
      and c.operation = w.operation
      and c.valid_from <= at
      and (c.valid_to is null or c.valid_to > at)
    order by w.place
  );
end;
$$;

comment on function rate_limiter_internal.cost_rates_at(
  integer, timestamptz, uuid, text[], bigint[]
) is
  'What operations cost an application at a moment, by their size, in their order. Raises what '
  'cost_at() raises.';
--! EndIncluded rate_limiter_internal/costs/cost_rates_at.sql
--! Included rate_limiter_internal/costs/costs_before.sql
create or replace function rate_limiter_internal.costs_before(
  shard_key integer,
  app_id uuid,
  reference_ids text[],
  operations text[],
  sizes bigint[]
)
returns numeric[]
language plpgsql
stable
parallel safe
as $$
declare
  before record;
  other record;
begin
  if reference_ids is null then
    return null;
  end if;

  -- Each by its key: a join is planned by statistics, and where those are old it compares every
  -- reference of the batch with every charge of the application.
  select
    array_agg(c.cost order by w.place) as costs,
    min(w.place) filter (
      where c.operation <> w.operation
        or c.operation = w.operation and coalesce(w.size, 0) > coalesce(c.asked_size_bytes, 0)
    ) as first_other
  into before
  from rows from (unnest(reference_ids), unnest(operations), unnest(sizes))
    with ordinality as w (reference_id, operation, size, place)
  left join lateral (
    select k.cost, k.operation, k.asked_size_bytes
    from rate_limiter.charges as k
    where k.shard_key = costs_before.shard_key
      and k.app_id = costs_before.app_id
      and k.reference_id = w.reference_id
      and k.refunded_at is null
    limit 1
  ) as c on true;

  if before.first_other is not null then
    select
      c.reference_id, c.operation, c.asked_size_bytes,
      operations[before.first_other] as operation_now, sizes[before.first_other] as size
    into other
    from rate_limiter.charges as c
    where c.shard_key = costs_before.shard_key
      and c.app_id = costs_before.app_id
      and c.reference_id = reference_ids[before.first_other];
    raise exception using
      errcode = 'QS409',
      message = 'reference is of another operation',
      detail = format(
        'reference_id: %s, operation: %s of %s bytes, asked: %s of %s bytes', other.reference_id,
        other.operation, other.asked_size_bytes, other.operation_now, other.size
      ),
      hint = 'Give each operation a reference of its own; only a retry repeats one.';
  end if;
  return before.costs;
end;
$$;

comment on function rate_limiter_internal.costs_before(integer, uuid, text[], text[], bigint[]) is
  'What each reference of an application was charged already; null where it was not, or was given '
  'back: what runs then has to be paid for. Raises QS409 where a reference was charged for '
  'another operation or a smaller size.';
--! EndIncluded rate_limiter_internal/costs/costs_before.sql
--! Included rate_limiter/costs/cost.sql
create or replace function rate_limiter.cost(
  app_id uuid,
  operation text,
  size_bytes bigint default 0
)
returns numeric
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  shard_key integer;
begin
  shard_key := rate_limiter_internal.required_shard_key(app_id);
  return rate_limiter_internal.cost_at(
    shard_key, clock_timestamp(), app_id, operation, coalesce(size_bytes, 0)
  );
end;
$$;

comment on function rate_limiter.cost(uuid, text, bigint) is
  'Tokens that an operation of a size in bytes costs an application now. Raises QS404 for an '
  'unknown application or operation, QS403 for an inactive one, QS422 for a negative size.';
grant execute on function rate_limiter.cost(uuid, text, bigint)
  to rate_limiter_app;
--! EndIncluded rate_limiter/costs/cost.sql
--! Included rate_limiter_internal/costs/operation_in_question.sql
create or replace function rate_limiter_internal.operation_in_question(
  app_id uuid,
  operation text,
  size_bytes bigint,
  at timestamptz,
  reference_id text,
  out moment timestamptz,
  out cost numeric,
  out size_bytes_asked bigint
)
language plpgsql
stable
parallel safe
as $$
declare
  charge rate_limiter.charges;
begin
  if reference_id is not null then
    select c.*
    into charge
    from rate_limiter.charges as c
    where c.shard_key = rate_limiter_internal.app_shard_key(operation_in_question.app_id)
      and c.app_id = operation_in_question.app_id
      and c.reference_id = operation_in_question.reference_id;

    if not found then
      perform rate_limiter_internal.check_reference(reference_id);
      raise exception using
        errcode = 'QS404',
        message = 'unknown reference',
        detail = format('reference: %s', reference_id),
        hint = 'A denial leaves no charge: ask by operation, size and moment.';
    end if;

    -- As it was asked: settling moves the charge afterwards.
    moment := charge.charged_at;
    size_bytes_asked := charge.asked_size_bytes;
    cost := rate_limiter_internal.cost_of(
      (charge.cost_rates).c_base, (charge.cost_rates).c_bw, (charge.cost_rates).unit_quantum,
      coalesce(size_bytes_asked, 0)
    );
    return;
  end if;

  moment := coalesce(at, clock_timestamp());
  if not isfinite(moment) then
    raise exception using
      errcode = 'QS422',
      message = 'moment is not finite',
      detail = format('at: %s', moment),
      hint = 'Give a moment, or none for now.';
  end if;
  if size_bytes < 0 then
    raise exception using
      errcode = 'QS422',
      message = 'size is negative',
      detail = format('size_bytes: %s', size_bytes),
      hint = 'Give the size of the operation in bytes, 0 or more, or null where it is not known.';
  end if;
  size_bytes_asked := size_bytes;
  cost := rate_limiter_internal.past_cost_at(moment, app_id, operation, coalesce(size_bytes, 0));

  if cost is null then
    perform rate_limiter_internal.check_operation(operation);
    raise exception using
      errcode = 'QS404',
      message = 'unknown operation',
      detail = format('operation: %s', operation),
      hint = 'Use a name from operation_costs(), or give a reference.';
  end if;
end;
$$;

comment on function rate_limiter_internal.operation_in_question(
  uuid, text, bigint, timestamptz, text
) is
  'Moment, cost and size of an operation, by its reference or as described. Raises QS404 for an '
  'unknown reference or operation, QS422 for a moment that is none and for a negative size. A null '
  'size is not known yet.';
--! EndIncluded rate_limiter_internal/costs/operation_in_question.sql
--! Included rate_limiter/costs/cost_rules_in_force.sql
create or replace function rate_limiter.cost_rules_in_force(
  app_id uuid
)
returns table (
  operation text,
  c_base numeric,
  c_bw numeric,
  unit_quantum bigint,
  is_active boolean,
  valid_from timestamptz,
  valid_to timestamptz
)
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    o.name::text,
    coalesce(r.c_base_override, o.c_base),
    coalesce(r.c_bw_override, o.c_bw),
    o.unit_quantum,
    o.is_active,
    r.valid_from,
    r.valid_to
  from rate_limiter_internal.admission_of(
    rate_limiter_internal.app_shard_key(cost_rules_in_force.app_id), clock_timestamp(),
    cost_rules_in_force.app_id
  )
  cross join rate_limiter.operation_types as o
  cross join lateral (
    select null::numeric, null::numeric, null::timestamptz, null::timestamptz
    union all
    select c.c_base_override, c.c_bw_override, c.valid_from, c.valid_to
    from rate_limiter.cost_rules as c
    where c.app_id = cost_rules_in_force.app_id
      and c.operation_id = o.operation_id
      and c.is_active
      and (c.valid_to is null or c.valid_to > clock_timestamp())
  ) as r (c_base_override, c_bw_override, valid_from, valid_to)
  order by o.name, r.valid_from nulls first;
$$;

comment on function rate_limiter.cost_rules_in_force(uuid) is
  'What each operation costs an application, for those who compute costs themselves: one row '
  'without times, which holds whenever none of the rows of its cost rules, now or to come, does. '
  'Raises QS404 for an unknown application, QS403 for an inactive one or an inactive tenant.';
grant execute on function rate_limiter.cost_rules_in_force(uuid)
  to rate_limiter_app;
--! EndIncluded rate_limiter/costs/cost_rules_in_force.sql
--! Included rate_limiter/costs/operation_costs.sql
create or replace function rate_limiter.operation_costs()
returns table (
  operation text,
  c_base numeric,
  c_bw numeric,
  unit_quantum bigint,
  is_active boolean
)
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select o.name::text, o.c_base, o.c_bw, o.unit_quantum, o.is_active
  from rate_limiter.operation_types as o
  order by o.name;
$$;

comment on function rate_limiter.operation_costs() is
  'What operations cost where an application has no cost rule of its own.';
grant execute on function rate_limiter.operation_costs()
  to rate_limiter_app;
--! EndIncluded rate_limiter/costs/operation_costs.sql
--! Included rate_limiter_internal/costs/operations_of.sql
create or replace function rate_limiter_internal.operations_of(metadata jsonb)
returns bigint
language sql
immutable
parallel safe
as $$
  -- A row that was inserted by hand must not fail the report that reads it.
  select case
    when metadata ->> 'operations' ~ '^[1-9][0-9]{0,8}$' then (metadata ->> 'operations')::bigint
    else 1
  end;
$$;

comment on function rate_limiter_internal.operations_of(jsonb) is
  'How many operations a row of the ledger with this metadata stands for: a batch is one row.';
--! EndIncluded rate_limiter_internal/costs/operations_of.sql
--! Included rate_limiter/costs/cost_rules.triggers.sql
create or replace trigger audit_change
  after insert or update or delete on rate_limiter.cost_rules
  for each row
  execute function rate_limiter_internal.audit_change('rule_id');
--! EndIncluded rate_limiter/costs/cost_rules.triggers.sql
--! Included rate_limiter/costs/sync_cost_rule.triggers.sql
create or replace trigger sync_cost_rule
  after insert or update or delete on rate_limiter.cost_rules
  for each row
  execute function rate_limiter_internal.sync_cost_rule();
comment on trigger sync_cost_rule on rate_limiter.cost_rules is
  'Has decisions look for the costs of an application that has a rule, and of no other.';

create or replace trigger sync_operation_costs
  after update of name, c_base, c_bw, unit_quantum, is_active on rate_limiter.operation_types
  for each row
  execute function rate_limiter_internal.sync_operation_costs();
comment on trigger sync_operation_costs on rate_limiter.operation_types is
  'A rule that overrides a part of the cost leaves the rest as the list has it.';
--! EndIncluded rate_limiter/costs/sync_cost_rule.triggers.sql
--! Included rate_limiter/costs/operation_types.triggers.sql
create or replace trigger set_updated_at
  before update on rate_limiter.operation_types
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.operation_types
  for each row
  execute function rate_limiter_internal.audit_change('operation_id');
--! EndIncluded rate_limiter/costs/operation_types.triggers.sql
--! Included rate_limiter/costs/cost_rules.policies.sql
-- Both layers charge what an operation costs: a tenant that priced its own would take from its
-- siblings, so only system administrators do.
alter table rate_limiter.cost_rules enable row level security;

drop policy if exists readable on rate_limiter.cost_rules;
create policy readable on rate_limiter.cost_rules
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('quota', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists insertable on rate_limiter.cost_rules;
create policy insertable on rate_limiter.cost_rules
  for insert to rate_limiter_visitor
  with check (
    (select rate_limiter_internal.may('quota', 'create'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists updatable on rate_limiter.cost_rules;
create policy updatable on rate_limiter.cost_rules
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('quota', 'update'))
    and (select rate_limiter_internal.is_system_admin())
  )
  with check (
    (select rate_limiter_internal.may('quota', 'update'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists deletable on rate_limiter.cost_rules;
create policy deletable on rate_limiter.cost_rules
  for delete to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('quota', 'delete'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.cost_rules;
create policy monitored on rate_limiter.cost_rules
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/costs/cost_rules.policies.sql
--! Included rate_limiter/costs/app_costs.policies.sql
-- Written by functions alone; people see cost_rules.
alter table rate_limiter.app_costs enable row level security;

drop policy if exists monitored on rate_limiter.app_costs;
create policy monitored on rate_limiter.app_costs
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/costs/app_costs.policies.sql
--! Included rate_limiter/costs/operation_types.policies.sql
-- The same for every tenant: only system administrators change what operations cost.
alter table rate_limiter.operation_types enable row level security;

drop policy if exists readable on rate_limiter.operation_types;
create policy readable on rate_limiter.operation_types
  for select to rate_limiter_visitor
  using ((select rate_limiter_internal.current_user_id()) is not null);

drop policy if exists insertable on rate_limiter.operation_types;
create policy insertable on rate_limiter.operation_types
  for insert to rate_limiter_visitor
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists updatable on rate_limiter.operation_types;
create policy updatable on rate_limiter.operation_types
  for update to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  )
  with check (
    (select rate_limiter_internal.may('system', 'configure'))
    and (select rate_limiter_internal.is_system_admin())
  );

drop policy if exists monitored on rate_limiter.operation_types;
create policy monitored on rate_limiter.operation_types
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/costs/operation_types.policies.sql
--! Included rate_limiter/costs/cost_rules.grants.sql
revoke all on rate_limiter.cost_rules
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.cost_rules to rate_limiter_visitor, rate_limiter_readonly;
grant insert (operation_id, app_id, c_base_override, c_bw_override, valid_from, valid_to)
  on rate_limiter.cost_rules to rate_limiter_visitor;
grant update (c_base_override, c_bw_override, valid_from, valid_to, is_active)
  on rate_limiter.cost_rules to rate_limiter_visitor;
grant delete on rate_limiter.cost_rules to rate_limiter_visitor;
--! EndIncluded rate_limiter/costs/cost_rules.grants.sql
--! Included rate_limiter/costs/app_costs.grants.sql
revoke all on rate_limiter.app_costs
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.app_costs to rate_limiter_readonly;
--! EndIncluded rate_limiter/costs/app_costs.grants.sql
--! Included rate_limiter/costs/operation_types.grants.sql
revoke all on rate_limiter.operation_types
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.operation_types to rate_limiter_visitor, rate_limiter_readonly;
grant insert (name, category, c_base, unit_quantum, c_bw, description)
  on rate_limiter.operation_types to rate_limiter_visitor;
grant update (category, c_base, unit_quantum, c_bw, description, is_active)
  on rate_limiter.operation_types to rate_limiter_visitor;
--! EndIncluded rate_limiter/costs/operation_types.grants.sql

-- Quota checks
--! Included rate_limiter_internal/quota_checks/iops_limits_problem.sql
create or replace function rate_limiter_internal.iops_limits_problem(limits jsonb)
returns text
language sql
immutable
parallel safe
return case
  when limits ->> 'iops_limit' is null then 'iops_limit is missing'
  when (limits ->> 'iops_limit')::numeric < 1 then 'iops_limit is below one'
  when (limits ->> 'iops_burst')::numeric < (limits ->> 'iops_limit')::numeric
    then 'iops_burst is below iops_limit'
  when (limits ->> 'burst_duration_seconds')::numeric < 1 then 'burst_duration_seconds is below one'
  when (limits ->> 'refill_rate')::numeric < 1 then 'refill_rate is below one'
  when (limits ->> 'refill_rate')::numeric > (limits ->> 'iops_limit')::numeric
    then 'refill_rate is above iops_limit'
  when (limits ->> 'min_reserve')::numeric < 0 then 'min_reserve is negative'
end;

comment on function rate_limiter_internal.iops_limits_problem(jsonb) is
  'What is wrong with the limits of operations of a quota; null if nothing is.';
--! EndIncluded rate_limiter_internal/quota_checks/iops_limits_problem.sql
--! Included rate_limiter_internal/quota_checks/bandwidth_limits_problem.sql
create or replace function rate_limiter_internal.bandwidth_limits_problem(limits jsonb)
returns text
language sql
immutable
parallel safe
return case
  when limits ->> 'bandwidth_limit_bps' is null then 'bandwidth_limit_bps is missing'
  when (limits ->> 'bandwidth_limit_bps')::numeric < 1 then 'bandwidth_limit_bps is below one'
  when (limits ->> 'bandwidth_burst_bps')::numeric < (limits ->> 'bandwidth_limit_bps')::numeric
    then 'bandwidth_burst_bps is below bandwidth_limit_bps'
  when (limits ->> 'burst_duration_seconds')::numeric < 1 then 'burst_duration_seconds is below one'
  when (limits ->> 'refill_rate_bps')::numeric < 1 then 'refill_rate_bps is below one'
  when (limits ->> 'refill_rate_bps')::numeric > (limits ->> 'bandwidth_limit_bps')::numeric
    then 'refill_rate_bps is above bandwidth_limit_bps'
end;

comment on function rate_limiter_internal.bandwidth_limits_problem(jsonb) is
  'What is wrong with the limits of bytes of a quota; null if nothing is.';
--! EndIncluded rate_limiter_internal/quota_checks/bandwidth_limits_problem.sql
--! Included rate_limiter_internal/quota_checks/require_limits.sql
create or replace function rate_limiter_internal.require_limits(
  iops jsonb,
  bandwidth jsonb,
  remove_iops boolean,
  remove_bandwidth boolean
)
returns void
language plpgsql
immutable
parallel safe
as $$
declare
  problem constant text := coalesce(
    case when iops is not null then rate_limiter_internal.iops_limits_problem(iops) end,
    case when bandwidth is not null then
      rate_limiter_internal.bandwidth_limits_problem(bandwidth)
    end
  );
begin
  if iops is null and bandwidth is null and not remove_iops and not remove_bandwidth
    or remove_iops and remove_bandwidth
  then
    raise exception using
      errcode = 'QS422',
      message = 'quota limits nothing',
      hint = 'Give limits of operations, of bandwidth, or both; cancel a quota to lift all of it.';
  end if;

  if iops is not null and remove_iops or bandwidth is not null and remove_bandwidth then
    raise exception using
      errcode = 'QS422',
      message = 'quota sets and removes the same limits',
      detail = format('remove_iops: %s, remove_bandwidth: %s', remove_iops, remove_bandwidth),
      hint = 'Give limits of a kind, remove them, or leave the kind out to keep what is in force.';
  end if;

  if problem is not null then
    raise exception using
      errcode = 'QS422',
      message = 'quota limits do not fit',
      hint = format('Mend this: %s.', problem);
  end if;
end;
$$;

comment on function rate_limiter_internal.require_limits(jsonb, jsonb, boolean, boolean) is
  'Raises QS422 for a quota whose limits are missing or do not fit.';
--! EndIncluded rate_limiter_internal/quota_checks/require_limits.sql
--! Included rate_limiter_internal/quota_checks/complete_iops_limits.sql
create or replace function rate_limiter_internal.complete_iops_limits(
  limits rate_limiter_admin.iops_limits
)
returns jsonb
language sql
stable
parallel safe
as $$
  select case when limits is distinct from null then jsonb_build_object(
    'iops_limit', limits.iops_limit,
    'iops_burst', coalesce(limits.iops_burst, limits.iops_limit),
    'burst_duration_seconds', coalesce(
      limits.burst_duration_seconds,
      rate_limiter_internal.setting_integer('default_burst_duration')::integer
    ),
    'refill_rate', coalesce(limits.refill_rate, limits.iops_limit),
    'calculation_method', coalesce(limits.calculation_method, 'token_bucket'),
    'min_reserve', coalesce(limits.min_reserve, 0)
  ) end;
$$;

comment on function rate_limiter_internal.complete_iops_limits(
  rate_limiter_admin.iops_limits
) is 'Limits with what was left out filled in, as quota_as_json() shows them.';
--! EndIncluded rate_limiter_internal/quota_checks/complete_iops_limits.sql
--! Included rate_limiter_internal/quota_checks/complete_bandwidth_limits.sql
create or replace function rate_limiter_internal.complete_bandwidth_limits(
  limits rate_limiter_admin.bandwidth_limits
)
returns jsonb
language sql
stable
parallel safe
as $$
  select case when limits is distinct from null then jsonb_build_object(
    'bandwidth_limit_bps', limits.bandwidth_limit_bps,
    'bandwidth_burst_bps', coalesce(limits.bandwidth_burst_bps, limits.bandwidth_limit_bps),
    'burst_duration_seconds', coalesce(
      limits.burst_duration_seconds,
      rate_limiter_internal.setting_integer('default_burst_duration')::integer
    ),
    'refill_rate_bps', coalesce(limits.refill_rate_bps, limits.bandwidth_limit_bps),
    'allow_oversize', coalesce(limits.allow_oversize, true)
  ) end;
$$;

comment on function rate_limiter_internal.complete_bandwidth_limits(
  rate_limiter_admin.bandwidth_limits
) is 'Limits with what was left out filled in, as quota_as_json() shows them.';
--! EndIncluded rate_limiter_internal/quota_checks/complete_bandwidth_limits.sql
--! Included rate_limiter_internal/quota_checks/cheapest_costs.sql
create or replace function rate_limiter_internal.cheapest_costs(
  app_id uuid,
  cluster_id uuid,
  valid_from timestamptz,
  valid_to timestamptz
)
returns table (operation text, size_bytes bigint, base_cost numeric, usual_cost numeric)
language sql
stable
parallel safe
as $$
  select
    o.name::text,
    o.unit_quantum,
    least(
      r.base_cost,
      case when d.counts then o.c_base end
    ),
    least(
      r.usual_cost,
      case when d.counts then
        rate_limiter_internal.cost_of(o.c_base, o.c_bw, o.unit_quantum, o.unit_quantum)
      end
    )
  from rate_limiter.operation_types as o
  cross join lateral (
    select
      min(coalesce(c.c_base_override, o.c_base)) as base_cost,
      min(rate_limiter_internal.cost_of(
        coalesce(c.c_base_override, o.c_base), coalesce(c.c_bw_override, o.c_bw),
        o.unit_quantum, o.unit_quantum
      )) as usual_cost,
      range_agg(tstzrange(c.valid_from, c.valid_to)) as spans
    from rate_limiter.cost_rules as c
    where c.operation_id = o.operation_id
      and c.is_active
      and tstzrange(c.valid_from, c.valid_to)
        && tstzrange(cheapest_costs.valid_from, cheapest_costs.valid_to)
      and (
        c.app_id = cheapest_costs.app_id
        or c.app_id in (
          select a.app_id
          from rate_limiter.applications as a
          where a.cluster_id = cheapest_costs.cluster_id
        )
      )
  ) as r
  cross join lateral (
    -- The rules of one application may leave the default no moment; a cluster takes others in.
    select cheapest_costs.app_id is null
      or r.spans is null
      or not r.spans @> tstzrange(cheapest_costs.valid_from, cheapest_costs.valid_to) as counts
  ) as d
  where o.is_active
  order by o.name;
$$;

comment on function rate_limiter_internal.cheapest_costs(uuid, uuid, timestamptz, timestamptz) is
  'The least that each active operation costs in a span of time: without any bytes, and at its '
  'usual size, which is one unit (unit_quantum). For one application, for all that a cluster '
  'hosts, or with neither by the default costs.';
--! EndIncluded rate_limiter_internal/quota_checks/cheapest_costs.sql
--! Included rate_limiter_internal/quota_checks/never_paid.sql
create or replace function rate_limiter_internal.never_paid(
  capacity numeric,
  app_id uuid,
  cluster_id uuid,
  valid_from timestamptz,
  valid_to timestamptz
)
returns text
language sql
stable
parallel safe
as $$
  select string_agg(
    c.operation
      || case when c.size_bytes > 1 then format(' of %s bytes', c.size_bytes) else '' end
      || format(' (cost %s)', trim_scale(c.usual_cost)),
    ', '
    order by c.usual_cost, c.operation
  )
  from rate_limiter_internal.cheapest_costs(
    never_paid.app_id, never_paid.cluster_id, never_paid.valid_from, never_paid.valid_to
  ) as c
  where c.usual_cost > never_paid.capacity;
$$;

comment on function rate_limiter_internal.never_paid(
  numeric, uuid, uuid, timestamptz, timestamptz
) is
  'The operations, at their usual size, that a bucket of this capacity can never pay in a span '
  'of time, in words; null where it can pay all of them.';
--! EndIncluded rate_limiter_internal/quota_checks/never_paid.sql
--! Included rate_limiter_internal/quota_checks/check_quota.sql
create or replace function rate_limiter_internal.check_quota(
  app_id uuid,
  cluster_id uuid,
  valid_from timestamptz,
  valid_to timestamptz,
  iops jsonb,
  default_cluster_id uuid default null
)
returns void
language plpgsql
stable
parallel safe
-- Planned once a session: a batch asks this for each of its entries.
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  capacity numeric;
  rated_capacity bigint;
  cheapest record;
begin
  if iops is null or jsonb_typeof(iops) <> 'object' then
    return;
  end if;

  -- The caller holds the cluster's row, which guards max_capacity and the quotas alike.
  select c.max_capacity
  into rated_capacity
  from rate_limiter.clusters as c
  where c.cluster_id = check_quota.cluster_id;

  if rated_capacity > 0 and (iops ->> 'iops_limit')::bigint > rated_capacity then
    raise exception using
      errcode = 'QS422',
      message = 'quota exceeds the capacity of the cluster',
      detail = format(
        'cluster: %s, iops_limit: %s, max_capacity: %s', check_quota.cluster_id,
        iops ->> 'iops_limit', rated_capacity
      ),
      hint = 'Lower the limit, or raise max_capacity of the cluster; 0 means not known.';
  end if;

  capacity := rate_limiter_internal.iops_capacity(iops);

  select c.operation, c.base_cost
  into cheapest
  from rate_limiter_internal.cheapest_costs(
    check_quota.app_id, coalesce(check_quota.cluster_id, check_quota.default_cluster_id),
    check_quota.valid_from, check_quota.valid_to
  ) as c
  order by c.base_cost, c.operation
  limit 1;

  if cheapest.base_cost > capacity then
    raise exception using
      errcode = 'QS422',
      message = 'quota pays for no operation',
      detail = format(
        'capacity: %s, cheapest operation: %s, its cost: %s', capacity, cheapest.operation,
        trim_scale(cheapest.base_cost)
      ),
      hint = 'Raise the limit or the burst: a bucket pays for what it can hold, and no more.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_quota(
  uuid, uuid, timestamptz, timestamptz, jsonb, uuid
) is
  'Raises QS422 for limits of operations above max_capacity of their cluster, and for limits '
  'under which no operation could ever pass. The owner''s row is locked by the caller.';
--! EndIncluded rate_limiter_internal/quota_checks/check_quota.sql
--! Included rate_limiter_internal/quota_checks/denied_kinds.sql
create or replace function rate_limiter_internal.denied_kinds(config_id uuid)
returns table (is_bandwidth boolean)
language sql
stable
parallel safe
as $$
  select kind.is_bandwidth
  from rate_limiter.quota_configs as c
  join rate_limiter.applications as a on a.app_id = c.app_id
  left join rate_limiter.iops_quotas as i on i.config_id = c.config_id
  left join rate_limiter.bandwidth_quotas as b on b.config_id = c.config_id
  cross join (values (false), (true)) as kind (is_bandwidth)
  where c.config_id = denied_kinds.config_id
    and c.mode = 'enforce'
    and c.is_active
    and case when kind.is_bandwidth then b.config_id else i.config_id end is null
    and rate_limiter_internal.needs_quota(a.tenant_id, a.cluster_id, kind.is_bandwidth)
    and not (
      select
        coalesce(range_agg(tstzrange(d.valid_from, d.valid_to)), '{}')
          -- What is over is empty, and contained in anything.
          @> (tstzrange(c.valid_from, c.valid_to) * tstzrange(statement_timestamp(), null))
      from rate_limiter.quota_configs as d
      left join rate_limiter.iops_quotas as di on di.config_id = d.config_id
      left join rate_limiter.bandwidth_quotas as db on db.config_id = d.config_id
      where d.default_cluster_id = a.cluster_id
        and d.is_active
        and case when kind.is_bandwidth then db.config_id else di.config_id end is not null
    );
$$;

comment on function rate_limiter_internal.denied_kinds(uuid) is
  'The kinds that an application''s quota has no limits of, though the application is denied '
  'without: no default quota of its cluster has them for as long as the quota is in force.';
--! EndIncluded rate_limiter_internal/quota_checks/denied_kinds.sql
--! Included rate_limiter_internal/quota_checks/quota_warnings.sql
create or replace function rate_limiter_internal.quota_warnings(config_id uuid)
returns text[]
language sql
stable
parallel safe
as $$
  with quota as (
    select
      c.app_id, coalesce(c.cluster_id, c.default_cluster_id) as cluster_id, c.valid_from,
      c.valid_to, i.min_reserve, b.allow_oversize,
      rate_limiter_internal.quota_capacity(
        i.calculation_method, i.iops_limit, i.iops_burst, i.burst_duration_seconds, i.refill_rate
      ) as iops_capacity,
      rate_limiter_internal.quota_capacity(
        'token_bucket', b.bandwidth_limit_bps, b.bandwidth_burst_bps, b.burst_duration_seconds,
        b.refill_rate_bps
      ) as bandwidth_capacity,
      b.refill_rate_bps * rate_limiter_internal.setting_integer(
        case when c.cluster_id is null
          then 'max_debt_seconds' else 'max_cluster_debt_seconds' end
      )::numeric as bandwidth_debt
    from rate_limiter.quota_configs as c
    left join rate_limiter.iops_quotas as i on i.config_id = c.config_id
    left join rate_limiter.bandwidth_quotas as b on b.config_id = c.config_id
    where c.config_id = quota_warnings.config_id
  ),
  found as (
    select 1 as number, format(
      'The IOPS capacity of %s never pays for: %s.', trim_scale(q.iops_capacity),
      rate_limiter_internal.never_paid(
        q.iops_capacity, q.app_id, q.cluster_id, q.valid_from, q.valid_to
      )
    ) as warning
    from quota as q
    where rate_limiter_internal.never_paid(
      q.iops_capacity, q.app_id, q.cluster_id, q.valid_from, q.valid_to
    ) is not null
    union all
    select 2, format(
      'Leases are always empty: min_reserve of %s leaves nothing of the capacity of %s.',
      q.min_reserve, trim_scale(q.iops_capacity)
    )
    from quota as q
    where q.min_reserve >= q.iops_capacity
    union all
    select 3, format(
      case when q.allow_oversize
        then 'The bandwidth capacity of %s bytes and the debt limit never admit: %s.'
        else 'The bandwidth capacity of %s bytes never admits: %s; see allow_oversize.'
      end,
      trim_scale(q.bandwidth_capacity),
      string_agg(
        format('%s of %s bytes', o.name, o.unit_quantum), ', ' order by o.unit_quantum, o.name
      )
    )
    from quota as q
    join rate_limiter.operation_types as o
      on o.is_active
      and o.unit_quantum > q.bandwidth_capacity
        + case when q.allow_oversize then q.bandwidth_debt else 0 end
    group by q.allow_oversize, q.bandwidth_capacity
    union all
    select 4, format(
      'Without %s limits, operations that %s are denied (no_quota): no default quota of the '
      'cluster stands in for all of the time.',
      case when d.is_bandwidth then 'bandwidth' else 'IOPS' end,
      case when d.is_bandwidth then 'move bytes' else 'cost tokens' end
    )
    from rate_limiter_internal.denied_kinds(quota_warnings.config_id) as d
  )
  select coalesce(array_agg(f.warning order by f.number), '{}') from found as f;
$$;

comment on function rate_limiter_internal.quota_warnings(uuid) is
  'What surprises about a quota, in words: the operations that can never pass at their usual '
  'size (one unit_quantum), leases that are always empty, and a kind of which the application is '
  'denied for want of limits. Empty where nothing does.';
--! EndIncluded rate_limiter_internal/quota_checks/quota_warnings.sql
--! Included rate_limiter/quota_checks/quota_configs_warnings.sql
create or replace function rate_limiter.quota_configs_warnings(quota rate_limiter.quota_configs)
returns text[]
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_internal.quota_warnings(c.config_id)
  from rate_limiter.quota_configs as c
  left join rate_limiter.applications as a on a.app_id = c.app_id
  where c.config_id = (quota_configs_warnings.quota).config_id
    and rate_limiter_internal.may('quota', 'read')
    and (
      rate_limiter_internal.is_system_admin()
      or a.tenant_id = rate_limiter_internal.current_tenant_id()
      or c.default_cluster_id = any (rate_limiter_internal.current_cluster_ids())
    );
$$;

comment on function rate_limiter.quota_configs_warnings(rate_limiter.quota_configs) is
  'What surprises about these limits: operations that can never pass at their usual size, by '
  'name, leases that are always empty, and a kind that is denied for want of limits of it.';
grant execute on function rate_limiter.quota_configs_warnings(rate_limiter.quota_configs)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter/quota_checks/quota_configs_warnings.sql
--! Included rate_limiter_internal/quota_checks/require_quota_mode.sql
create or replace function rate_limiter_internal.require_quota_mode(
  mode rate_limiter.quota_mode,
  default_cluster_id uuid
)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if mode = 'shadow' and default_cluster_id is not null then
    raise exception using
      errcode = 'QS422',
      message = 'default quota enforces',
      detail = format('cluster: %s', default_cluster_id),
      hint = 'Try a candidate on one of the applications.';
  end if;

  if mode = 'shadow' and not rate_limiter_internal.is_system_admin() then
    raise exception using
      errcode = 'QS403',
      message = 'quotas in shadow mode are for system administrators',
      hint = 'Try limits out with tryQuota, which judges by them what was recorded.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_quota_mode(
  rate_limiter.quota_mode, uuid
) is
  'Refuses a quota in shadow mode of a user who does not administer the system (QS403), and one '
  'for a default (QS422).';
--! EndIncluded rate_limiter_internal/quota_checks/require_quota_mode.sql
--! Included rate_limiter_internal/quota_checks/quota_spans.sql
create or replace function rate_limiter_internal.quota_spans(
  at timestamptz,
  app_id uuid,
  is_bandwidth boolean
)
returns jsonb
language sql
stable
parallel safe
as $$
  with spans as (
    select
      greatest(c.valid_from, at) as starts_at,
      coalesce(c.valid_to, 'infinity') as ends_at,
      part.terms
    from rate_limiter.quota_configs as c
    cross join lateral (
      select to_jsonb(i) - 'quota_id' - 'config_id'
      from rate_limiter.iops_quotas as i
      where not is_bandwidth and i.config_id = c.config_id
      union all
      select to_jsonb(b) - 'quota_id' - 'config_id'
      from rate_limiter.bandwidth_quotas as b
      where is_bandwidth and b.config_id = c.config_id
    ) as part (terms)
    where c.app_id = quota_spans.app_id
      and c.mode = 'enforce'
      and c.is_active
      and (c.valid_to is null or c.valid_to > at)
  ),
  numbered as (
    select
      s.*,
      count(*) filter (where s.is_change) over (order by s.starts_at) as span_number
    from (
      select
        o.*,
        (lag(o.ends_at) over by_time, lag(o.terms) over by_time)
          is distinct from (o.starts_at, o.terms) as is_change
      from spans as o
      window by_time as (order by o.starts_at)
    ) as s
  ),
  merged as (
    select min(n.starts_at) as starts_at, max(n.ends_at) as ends_at, n.terms
    from numbered as n
    group by n.span_number, n.terms
  )
  select coalesce(
    jsonb_agg(jsonb_build_array(m.starts_at, m.ends_at, m.terms) order by m.starts_at), '[]'
  )
  from merged as m;
$$;

comment on function rate_limiter_internal.quota_spans(timestamptz, uuid, boolean) is
  'What enforcing quotas of an application say of one kind from a moment on, span by span, '
  'whichever versions say it.';
--! EndIncluded rate_limiter_internal/quota_checks/quota_spans.sql
--! Included rate_limiter_internal/quota_checks/held_quotas.sql
create or replace function rate_limiter_internal.held_quotas(at timestamptz, app_id uuid)
returns jsonb
language sql
stable
parallel safe
as $$
  select jsonb_agg(
    to_jsonb(array[c.config_id::text, c.valid_from::text, c.valid_to::text]) order by c.valid_from
  )
  from rate_limiter.quota_configs as c
  where c.app_id = held_quotas.app_id
    and c.is_held
    and c.is_active
    and c.valid_to > at
    and not rate_limiter_internal.is_system_admin();
$$;

comment on function rate_limiter_internal.held_quotas(timestamptz, uuid) is
  'What system administrators set for a time of an application''s quotas, and is not over: the '
  'signed-in user leaves it as it is, unless one of them; null for nothing.';
--! EndIncluded rate_limiter_internal/quota_checks/held_quotas.sql
--! Included rate_limiter_internal/quota_checks/fixed_quotas.sql
create or replace function rate_limiter_internal.fixed_quotas(at timestamptz, app_id uuid)
returns jsonb
language sql
stable
parallel safe
as $$
  select jsonb_build_object('held', rate_limiter_internal.held_quotas(at, fixed_quotas.app_id))
    || coalesce(jsonb_object_agg(
    case when kind.is_bandwidth then 'bandwidth' else 'iops' end,
    rate_limiter_internal.quota_spans(at, a.app_id, kind.is_bandwidth)
  ), '{}')
  from rate_limiter.applications as a
  cross join (values (false), (true)) as kind (is_bandwidth)
  where a.app_id = fixed_quotas.app_id
    and not rate_limiter_internal.is_system_admin()
    and not rate_limiter_internal.ceiling_binds(a.tenant_id, a.cluster_id, kind.is_bandwidth);
$$;

comment on function rate_limiter_internal.fixed_quotas(timestamptz, uuid) is
  'What the signed-in user must leave as it is of an application''s quotas, unless a system '
  'administrator: the kinds without a ceiling, and what is held (held_quotas).';
--! EndIncluded rate_limiter_internal/quota_checks/fixed_quotas.sql
--! Included rate_limiter_internal/quota_checks/require_fixed_quotas.sql
create or replace function rate_limiter_internal.require_fixed_quotas(
  at timestamptz,
  app_id uuid,
  before jsonb
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  after constant jsonb := rate_limiter_internal.fixed_quotas(at, app_id);
begin
  if after -> 'held' is distinct from before -> 'held' then
    raise exception using
      errcode = 'QS403',
      message = 'an operator set this quota for a time',
      detail = format(
        'application: %s, until: %s', app_id,
        (
          select max((held.value ->> 2)::timestamptz)
          from jsonb_array_elements(before -> 'held') as held
        )
      ),
      hint = 'What a system administrator set for a time stays as it is until then. Schedule '
        'quotas from its end on, or ask a system administrator.';
  end if;
  if after is distinct from before then
    raise exception using
      errcode = 'QS403',
      message = 'no ceiling allows this',
      detail = format(
        'application: %s, kinds without a ceiling: %s', app_id,
        (
          select string_agg(kind.key, ', ' order by kind.key)
          from jsonb_each(before) as kind
          where after -> kind.key is distinct from kind.value
        )
      ),
      hint = 'A tenant sets quotas within its ceilings: ask a system administrator for one, or to '
        'set the quota.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_fixed_quotas(timestamptz, uuid, jsonb) is
  'Raises QS403 where fixed_quotas() of an application are not what they were before.';
--! EndIncluded rate_limiter_internal/quota_checks/require_fixed_quotas.sql

-- Reservations
--! Included rate_limiter_internal/reservations/reserve_limits.sql
create or replace function rate_limiter_internal.reserve_limits(cluster_id uuid)
returns table (
  app_id uuid,
  bucket_type rate_limiter.bucket_type,
  refill_rate bigint,
  capacity numeric
)
language sql
stable
parallel safe
as $$
  select r.app_id, k.bucket_type, k.refill_rate, k.refill_rate::numeric * r.reservation_seconds
  from rate_limiter.reservations as r
  join rate_limiter.app_facts as f
    on f.app_id = r.app_id and f.cluster_id = r.cluster_id
  cross join lateral (
    values
      ('iops_reserve'::rate_limiter.bucket_type, r.reserved_iops),
      ('bandwidth_reserve', r.reserved_bps)
  ) as k (bucket_type, refill_rate)
  where r.cluster_id = reserve_limits.cluster_id
    and f.is_active
    and f.tenant_is_active
    and k.refill_rate is not null;
$$;

comment on function rate_limiter_internal.reserve_limits(uuid) is
  'Refill and capacity of the reserves that a cluster keeps: those of its active applications.';
--! EndIncluded rate_limiter_internal/reservations/reserve_limits.sql
--! Included rate_limiter_internal/reservations/sync_reserves_at.sql
create or replace function rate_limiter_internal.sync_reserves_at(
  at timestamptz,
  cluster_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  shard constant integer := rate_limiter_internal.shard_key_of(cluster_id);
  moment timestamptz;
  stored rate_limiter.token_buckets[];
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
  terms record;
begin
  perform
  from rate_limiter.token_buckets as b
  where b.shard_key = shard
    and b.owner_id = sync_reserves_at.cluster_id
    and b.mode = 'enforce'
  order by b.bucket_type
  for update;
  -- A reserve is new and empty; one of a cluster that the application left is empty too.
  perform
  from rate_limiter_internal.reserve_limits(sync_reserves_at.cluster_id) as t
  join rate_limiter.token_buckets as b
    on b.shard_key = shard
    and b.owner_id = t.app_id
    and b.bucket_type = t.bucket_type
    and b.mode = 'enforce'
  where b.reserve_cluster_id <> sync_reserves_at.cluster_id
  order by b.owner_id, b.bucket_type
  for update of b;
  update rate_limiter.token_buckets as b
  set reserve_cluster_id = sync_reserves_at.cluster_id, quota_valid_until = '-infinity'
  from rate_limiter_internal.reserve_limits(sync_reserves_at.cluster_id) as t
  where b.shard_key = shard
    and b.owner_id = t.app_id
    and b.bucket_type = t.bucket_type
    and b.mode = 'enforce'
    and b.reserve_cluster_id <> sync_reserves_at.cluster_id;
  insert into rate_limiter.token_buckets (
    shard_key, owner_id, bucket_type, mode, reserve_cluster_id, last_refill_at, last_capacity,
    refill_rate
  )
  select
    shard, t.app_id, t.bucket_type, 'enforce', sync_reserves_at.cluster_id,
    coalesce(at, clock_timestamp()), 0, 0
  from rate_limiter_internal.reserve_limits(sync_reserves_at.cluster_id) as t
  where not exists (
    select
    from rate_limiter.token_buckets as b
    where b.shard_key = shard
      and b.owner_id = t.app_id
      and b.bucket_type = t.bucket_type
      and b.mode = 'enforce'
  )
  order by t.app_id, t.bucket_type;

  stored := array(
    select b
    from rate_limiter.token_buckets as b
    where b.reserve_cluster_id = sync_reserves_at.cluster_id
    order by b.owner_id, b.bucket_type
    for update
  );
  moment := coalesce(at, clock_timestamp());

  foreach before in array stored loop
    before := rate_limiter_internal.locked_bucket_at(moment, before);
    select t.refill_rate, t.capacity
    into terms
    from rate_limiter_internal.reserve_limits(sync_reserves_at.cluster_id) as t
    where t.app_id = before.owner_id and t.bucket_type = before.bucket_type;

    after := before;
    after.refill_rate := coalesce(terms.refill_rate, 0);
    after.last_capacity := coalesce(terms.capacity, 0);
    after.capacity := case when after.config_id is not null then terms.capacity end;
    after.current_tokens := least(after.current_tokens, after.last_capacity);
    perform rate_limiter_internal.write_buckets(
      moment, 'adjust', array[before], array[after], null, '{"cause": "change of reservation"}'
    );
  end loop;

  update rate_limiter.token_buckets as b
  set headroom = k.headroom, reserved_rate = k.reserved_rate
  from (
    select
      l.bucket_type,
      nullif(sum(t.capacity), 0) as headroom,
      nullif(sum(t.refill_rate), 0)::bigint as reserved_rate
    from (
      values
        ('iops_l1'::rate_limiter.bucket_type, 'iops_reserve'::rate_limiter.bucket_type),
        ('bandwidth_l1', 'bandwidth_reserve')
    ) as l (bucket_type, reserve_type)
    left join rate_limiter_internal.reserve_limits(sync_reserves_at.cluster_id) as t
      on t.bucket_type = l.reserve_type
    group by l.bucket_type
  ) as k
  where b.shard_key = shard
    and b.owner_id = sync_reserves_at.cluster_id
    and b.bucket_type = k.bucket_type
    and b.mode = 'enforce'
    and (b.headroom, b.reserved_rate) is distinct from (k.headroom, k.reserved_rate);
end;
$$;

comment on function rate_limiter_internal.sync_reserves_at(timestamptz, uuid) is
  'sync_reserves() at a moment of the caller''s choice, null for live: makes, changes and empties '
  'the reserves of a cluster, with ledger rows for what they lose, and writes the headroom of its '
  'layer 1. A change keeps what a reserve holds, up to its new capacity.';
--! EndIncluded rate_limiter_internal/reservations/sync_reserves_at.sql
--! Included rate_limiter_internal/reservations/sync_reserves.sql
create or replace function rate_limiter_internal.sync_reserves(cluster_id uuid)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  perform rate_limiter_internal.sync_reserves_at(null, cluster_id);
end;
$$;

comment on function rate_limiter_internal.sync_reserves(uuid) is
  'Brings the reserves of a cluster, and what its layer 1 keeps for them, in line with the '
  'reservations of its active applications.';
--! EndIncluded rate_limiter_internal/reservations/sync_reserves.sql
--! Included rate_limiter_internal/reservations/reserved_on.sql
create or replace function rate_limiter_internal.reserved_on(cluster_id uuid)
returns table (is_bandwidth boolean, reserved numeric, headroom numeric)
language sql
stable
parallel safe
as $$
  select
    kind.is_bandwidth,
    coalesce(sum(kind.reserved), 0),
    coalesce(sum(kind.reserved::numeric * r.reservation_seconds), 0)
  from rate_limiter.reservations as r
  join rate_limiter.app_facts as f on f.app_id = r.app_id
  cross join lateral (
    values (false, r.reserved_iops), (true, r.reserved_bps)
  ) as kind (is_bandwidth, reserved)
  where r.cluster_id = reserved_on.cluster_id
    and f.is_active
    and f.tenant_is_active
  group by kind.is_bandwidth;
$$;

comment on function rate_limiter_internal.reserved_on(uuid) is
  'What the reservations of a cluster''s active applications come to, of each kind: tokens or '
  'bytes a second, and the headroom that they keep.';
--! EndIncluded rate_limiter_internal/reservations/reserved_on.sql
--! Included rate_limiter_internal/reservations/require_reservations.sql
create or replace function rate_limiter_internal.require_reservations(
  at timestamptz,
  cluster_id uuid
)
returns void
language plpgsql
stable
parallel safe
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  misfit record;
begin
  select
    c.config_id, greatest(c.valid_from, at) as moment, p.is_bandwidth, p.calculation_method,
    p.refill_rate, p.capacity, r.reserved, r.headroom
  into misfit
  from rate_limiter.quota_configs as c
  cross join lateral rate_limiter_internal.quota_parts(c.config_id) as p
  join rate_limiter_internal.reserved_on(require_reservations.cluster_id) as r
    on r.is_bandwidth = p.is_bandwidth
  where c.cluster_id = require_reservations.cluster_id
    and c.mode = 'enforce'
    and c.is_active
    and (c.valid_to is null or c.valid_to > at)
    and r.reserved > 0
    and (
      p.calculation_method <> 'token_bucket'
      or r.reserved > p.refill_rate * 0.9
      or r.headroom > p.capacity / 2
    )
  order by c.valid_from, p.is_bandwidth
  limit 1;

  if found then
    raise exception using
      errcode = 'QS422',
      message = 'reservations do not fit the quota of the cluster',
      detail = format(
        'cluster: %s, kind: %s, at: %s, quota: %s, method: %s, reserved: %s of at most %s, '
        'headroom: %s of at most %s',
        cluster_id, case when misfit.is_bandwidth then 'bandwidth' else 'iops' end,
        misfit.moment, misfit.config_id, misfit.calculation_method,
        misfit.reserved, trim_scale(misfit.refill_rate * 0.9),
        misfit.headroom, trim_scale(misfit.capacity / 2)
      ),
      hint = 'Reservations take at most nine tenths of the refill and half of the capacity of a '
        'token bucket: reserve less, for fewer seconds, or give the cluster more.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_reservations(timestamptz, uuid) is
  'Raises QS422 where the reservations of a cluster''s active applications do not fit one of its '
  'quotas in force or scheduled. The caller has locked the applications of the cluster, or its '
  'layer 1 (sync_reserves), before it asks.';
--! EndIncluded rate_limiter_internal/reservations/require_reservations.sql
--! Included rate_limiter_internal/reservations/write_reservation_history.sql
create or replace function rate_limiter_internal.write_reservation_history(
  before rate_limiter.reservations,
  after rate_limiter.reservations,
  reason text
)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter_audit.reservation_history (
    app_id, cluster_id, old_values, new_values, change_reason, changed_by
  )
  select
    coalesce(after.app_id, before.app_id),
    coalesce(after.cluster_id, before.cluster_id),
    case when before.app_id is not null then to_jsonb(before) - 'created_at' - 'updated_at' end,
    case when after.app_id is not null then to_jsonb(after) - 'created_at' - 'updated_at' end,
    reason,
    rate_limiter_internal.context_text('user_id')::uuid
  where to_jsonb(before) - 'updated_at' is distinct from to_jsonb(after) - 'updated_at';
$$;

comment on function rate_limiter_internal.write_reservation_history(
  rate_limiter.reservations, rate_limiter.reservations, text
) is
  'Writes down that a reservation was made, changed or ended, and why; nothing where nothing '
  'changed.';
--! EndIncluded rate_limiter_internal/reservations/write_reservation_history.sql
--! Included rate_limiter_internal/reservations/unpaid_by_reserve.sql
create or replace function rate_limiter_internal.unpaid_by_reserve(
  at timestamptz,
  app_id uuid,
  iops_reserve numeric,
  bandwidth_reserve numeric
)
returns text[]
language sql
stable
parallel safe
as $$
  select coalesce(array_agg(o.name::text order by o.name), '{}')
  from rate_limiter.operation_types as o
  left join rate_limiter.cost_rules as r
    on r.app_id = unpaid_by_reserve.app_id
    and r.operation_id = o.operation_id
    and r.is_active
    and r.valid_from <= at
    and (r.valid_to is null or r.valid_to > at)
  where o.is_active
    and (
      rate_limiter_internal.cost_of(
        coalesce(r.c_base_override, o.c_base), coalesce(r.c_bw_override, o.c_bw),
        o.unit_quantum, o.unit_quantum
      ) > iops_reserve
      or o.unit_quantum > bandwidth_reserve
    );
$$;

comment on function rate_limiter_internal.unpaid_by_reserve(
  timestamptz, uuid, numeric, numeric
) is
  'The operations that reserves of these capacities cannot pay for an application, at their usual '
  'size, which is one unit (unit_quantum). A reserve that is null reserves nothing of its kind.';
--! EndIncluded rate_limiter_internal/reservations/unpaid_by_reserve.sql
--! Included rate_limiter_internal/reservations/blocked_by_headroom.sql
create or replace function rate_limiter_internal.blocked_by_headroom(
  at timestamptz,
  cluster_id uuid
)
returns text[]
language sql
stable
parallel safe
as $$
  with layer_1 as (
    select
      p.is_bandwidth,
      p.capacity - r.headroom as most,
      -- What an oversize charge may go beyond it.
      case when p.allow_oversize then greatest(p.refill_rate - r.reserved, 0)
        * rate_limiter_internal.setting_integer('max_cluster_debt_seconds') else 0 end as debt
    from rate_limiter.quota_configs as c
    cross join lateral rate_limiter_internal.quota_parts(c.config_id) as p
    join rate_limiter_internal.reserved_on(blocked_by_headroom.cluster_id) as r
      on r.is_bandwidth = p.is_bandwidth
    where c.cluster_id = blocked_by_headroom.cluster_id
      and c.mode = 'enforce'
      and c.is_active
      and c.valid_from <= at
      and (c.valid_to is null or c.valid_to > at)
      and r.headroom > 0
  )
  select coalesce(array_agg(o.name::text order by o.name), '{}')
  from rate_limiter.operation_types as o
  where o.is_active
    and exists (
      select
      from layer_1 as l
      where l.most + l.debt < case when l.is_bandwidth then o.unit_quantum
        else rate_limiter_internal.cost_of(o.c_base, o.c_bw, o.unit_quantum, o.unit_quantum) end
    );
$$;

comment on function rate_limiter_internal.blocked_by_headroom(timestamptz, uuid) is
  'The operations, at their usual size (unit_quantum) and cost, that layer 1 of a cluster can '
  'never offer an application without a reservation, beside what reservations keep.';
--! EndIncluded rate_limiter_internal/reservations/blocked_by_headroom.sql
--! Included rate_limiter_admin/reservations/set_reservation.sql
create or replace function rate_limiter_admin.set_reservation(
  app_id uuid,
  reason text,
  reserved_iops bigint default null,
  reserved_bps bigint default null,
  reservation_seconds integer default 1,
  out reservation rate_limiter.reservations,
  out unpaid_operations text[],
  out blocked_operations text[]
)
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  hosting_cluster_id uuid;
  before rate_limiter.reservations;
  at timestamptz;
begin
  perform rate_limiter_internal.commit_locally();
  perform rate_limiter_internal.require_system_admin('quota', 'update');
  perform rate_limiter_internal.require_application(app_id, 'quota', 'update');
  perform rate_limiter_internal.require_reason(reason);

  if num_nonnulls(reserved_iops, reserved_bps) = 0 or reserved_iops < 1 or reserved_bps < 1
    or reservation_seconds is null or reservation_seconds not between 1 and 60
  then
    raise exception using
      errcode = 'QS422',
      message = 'reservation does not fit',
      detail = format(
        'reserved_iops: %s, reserved_bps: %s, reservation_seconds: %s', reserved_iops,
        reserved_bps, reservation_seconds
      ),
      hint = 'Reserve one token or byte a second at least, for 1 to 60 seconds; '
        'removeReservation ends a reservation.';
  end if;

  perform rate_limiter_internal.lock_placement(is_changed => false);
  select a.cluster_id
  into hosting_cluster_id
  from rate_limiter.applications as a
  where a.app_id = set_reservation.app_id;

  if hosting_cluster_id is null then
    raise exception using
      errcode = 'QS422',
      message = 'application is on no cluster',
      detail = format('application: %s', app_id),
      hint = 'A reservation is a part of a cluster: move the application to one first.';
  end if;

  perform from rate_limiter.clusters as c
  where c.cluster_id = hosting_cluster_id for no key update;
  perform from rate_limiter.applications as a
  where a.app_id = set_reservation.app_id for no key update;
  at := clock_timestamp();

  select r.* into before
  from rate_limiter.reservations as r
  where r.app_id = set_reservation.app_id;

  insert into rate_limiter.reservations as r (
    app_id, cluster_id, reserved_iops, reserved_bps, reservation_seconds
  )
  values (app_id, hosting_cluster_id, reserved_iops, reserved_bps, reservation_seconds)
  on conflict on constraint reservations_pkey do update
  set
    reserved_iops = excluded.reserved_iops,
    reserved_bps = excluded.reserved_bps,
    reservation_seconds = excluded.reservation_seconds
  returning r.* into reservation;

  perform rate_limiter_internal.write_reservation_history(before, reservation, reason);
  perform rate_limiter_internal.sync_reserves(hosting_cluster_id);
  perform rate_limiter_internal.require_reservations(at, hosting_cluster_id);

  unpaid_operations := rate_limiter_internal.unpaid_by_reserve(
    at, app_id, reserved_iops::numeric * reservation_seconds,
    reserved_bps::numeric * reservation_seconds
  );
  blocked_operations := rate_limiter_internal.blocked_by_headroom(at, hosting_cluster_id);
end;
$$;

comment on function rate_limiter_admin.set_reservation(
  uuid, text, bigint, bigint, integer
) is
  'Guarantees an application a part of its cluster, at once and whatever the other applications '
  'do: tokens a second, bytes a second, or both; a kind that is left out is not reserved. Its '
  'reserve holds reservationSeconds of them. Refused (QS422) where the reservations of the cluster '
  'take more than nine tenths of the refill, or half of the capacity, of one of its quotas. '
  'unpaidOperations: those that the reserve cannot pay at their usual size, which stay first come, '
  'first served. blockedOperations: those that applications without a reservation can never do '
  'beside it. For system administrators.';
grant execute on function rate_limiter_admin.set_reservation(
  uuid, text, bigint, bigint, integer
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/reservations/set_reservation.sql
--! Included rate_limiter_admin/reservations/remove_reservation.sql
create or replace function rate_limiter_admin.remove_reservation(app_id uuid, reason text)
returns rate_limiter.reservations
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  reservation rate_limiter.reservations;
begin
  perform rate_limiter_internal.commit_locally();
  perform rate_limiter_internal.require_system_admin('quota', 'update');
  perform rate_limiter_internal.require_application(app_id, 'quota', 'update');
  perform rate_limiter_internal.require_reason(reason);

  perform rate_limiter_internal.lock_placement(is_changed => false);
  perform
  from rate_limiter.clusters as c
  where c.cluster_id = (
    select r.cluster_id
    from rate_limiter.reservations as r
    where r.app_id = remove_reservation.app_id
  )
  for no key update;
  perform from rate_limiter.applications as a
  where a.app_id = remove_reservation.app_id for no key update;

  delete from rate_limiter.reservations as r
  where r.app_id = remove_reservation.app_id
  returning r.* into reservation;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown reservation',
      detail = format('application: %s', app_id),
      hint = 'The application has none, or no longer.';
  end if;

  perform rate_limiter_internal.write_reservation_history(reservation, null, reason);
  perform rate_limiter_internal.sync_reserves(reservation.cluster_id);
  return reservation;
end;
$$;

comment on function rate_limiter_admin.remove_reservation(uuid, text) is
  E'@resultFieldName reservation\n'
  'Ends the reservation of an application at once; answers what it was. For system '
  'administrators.';
grant execute on function rate_limiter_admin.remove_reservation(uuid, text)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/reservations/remove_reservation.sql
--! Included rate_limiter/reservations/reservations.triggers.sql
create or replace trigger set_updated_at
  before update on rate_limiter.reservations
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.reservations
  for each row
  execute function rate_limiter_internal.audit_change('app_id');
--! EndIncluded rate_limiter/reservations/reservations.triggers.sql
--! Included rate_limiter_audit/reservations/reservation_history.triggers.sql
create or replace trigger refuse_change
  before update or delete on rate_limiter_audit.reservation_history
  for each row
  execute function rate_limiter_internal.refuse_change();
--! EndIncluded rate_limiter_audit/reservations/reservation_history.triggers.sql
--! Included rate_limiter/reservations/reservations.policies.sql
-- Written by functions alone: what is kept for one is taken from its siblings.
alter table rate_limiter.reservations enable row level security;

drop policy if exists readable on rate_limiter.reservations;
create policy readable on rate_limiter.reservations
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('quota', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.reservations;
create policy monitored on rate_limiter.reservations
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/reservations/reservations.policies.sql
--! Included rate_limiter_audit/reservations/reservation_history.policies.sql
-- Written by functions alone, never changed.
alter table rate_limiter_audit.reservation_history enable row level security;

drop policy if exists readable on rate_limiter_audit.reservation_history;
create policy readable on rate_limiter_audit.reservation_history
  for select to rate_limiter_visitor
  using (
    (
      (select rate_limiter_internal.may('quota', 'read'))
      or (select rate_limiter_internal.may('audit', 'read'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter_audit.reservation_history;
create policy monitored on rate_limiter_audit.reservation_history
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter_audit/reservations/reservation_history.policies.sql
--! Included rate_limiter/reservations/reservations.grants.sql
revoke all on rate_limiter.reservations
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.reservations to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/reservations/reservations.grants.sql
--! Included rate_limiter_audit/reservations/reservation_history.grants.sql
revoke all on rate_limiter_audit.reservation_history
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select
  on rate_limiter_audit.reservation_history to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter_audit/reservations/reservation_history.grants.sql
