create or replace function rate_limiter_internal.replay_batch(
  app_id uuid,
  epoch timestamptz,
  offsets_us bigint[],
  operations text[],
  sizes bigint[]
)
returns table (allowed boolean, cost numeric)
language plpgsql
volatile
parallel unsafe
as $$
declare
  operation record;
begin
  for operation in
    select o.offset_us, o.name, o.size
    from unnest(offsets_us, operations, sizes) as o (offset_us, name, size)
  loop
    select d.allowed, d.cost
    into replay_batch.allowed, replay_batch.cost
    from rate_limiter_internal.consume_at(
      rate_limiter_internal.moment_after(epoch, operation.offset_us),
      app_id,
      operation.name,
      operation.size
    ) as d;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_internal.replay_batch(
  uuid, timestamptz, bigint[], text[], bigint[]
) is
  'Decides recorded operations at their own moments, in order: each takes the same road as a '
  'live one. For tests and tools only.';
