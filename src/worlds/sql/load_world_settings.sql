create or replace function rate_limiter_internal.load_world_settings(world jsonb)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  -- What worlds count on where they say nothing: layer 1 exact, and no limit of our own to the
  -- size, the life or the holder of a lease.
  wanted constant jsonb := jsonb_build_object(
    'layer1_prefetch_ms', 0,
    'borrow_grace_seconds', 0,
    'lease_max_share', 1,
    'lease_common_share', 1,
    'lease_seconds', 3600,
    'lease_fairness', false
  ) || coalesce(nullif(world -> 'settings', 'null'), '{}');
  unknown text;
begin
  select string_agg(w.key, ', ')
  into unknown
  from jsonb_object_keys(wanted) as w (key)
  where not exists (select from rate_limiter.system_settings as s where s.key = w.key);

  if unknown is not null then
    raise exception using
      errcode = 'QS422',
      message = 'unknown setting',
      detail = format('keys: %s', unknown),
      hint = 'Name only settings that system_settings lists.';
  end if;

  update rate_limiter.system_settings as s
  set value = w.value
  from jsonb_each_text(wanted) as w (key, value)
  where s.key = w.key and s.value <> w.value;
end;
$$;

comment on function rate_limiter_internal.load_world_settings(jsonb) is
  'Sets the settings of a world. For tests and tools only: load_world() calls it.';
