create or replace function rate_limiter_internal.load_world_costs(world jsonb)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  epoch constant timestamptz := world ->> 'epoch';
begin
  insert into rate_limiter.operation_types as o
    (name, category, c_base, unit_quantum, c_bw, is_active)
  select
    t.name,
    coalesce(t.category, 'other'),
    coalesce(t.c_base, 0),
    coalesce(t.unit_quantum, 1),
    coalesce(t.c_bw, 0),
    coalesce(t.is_active, true)
  from jsonb_to_recordset(nullif(world -> 'operation_types', 'null')) as t (
    name text, category text, c_base numeric, unit_quantum bigint, c_bw numeric,
    is_active boolean
  )
  on conflict (name) do update
  set c_base = excluded.c_base,
    unit_quantum = excluded.unit_quantum,
    c_bw = excluded.c_bw,
    is_active = excluded.is_active;

  insert into rate_limiter.cost_rules
    (app_id, operation_id, c_base_override, c_bw_override, valid_from, valid_to, is_active)
  select
    a.app_id,
    o.operation_id,
    r.c_base_override,
    r.c_bw_override,
    rate_limiter_internal.moment_after(epoch, r.valid_from_us),
    rate_limiter_internal.moment_after(epoch, r.valid_to_us),
    coalesce(r.is_active, true)
  from jsonb_to_recordset(nullif(world -> 'cost_rules', 'null')) as r (
    app text, operation text, c_base_override numeric, c_bw_override numeric,
    valid_from_us bigint, valid_to_us bigint, is_active boolean
  )
  left join rate_limiter.applications as a on a.name = r.app
  left join rate_limiter.operation_types as o on o.name = r.operation;
end;
$$;

comment on function rate_limiter_internal.load_world_costs(jsonb) is
  'Inserts the operation types and cost rules of a world. For tests and tools only: '
  'load_world() calls it.';
