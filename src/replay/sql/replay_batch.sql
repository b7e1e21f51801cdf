create or replace function rate_limiter_internal.replay_batch(
  app_ids uuid[],
  epoch timestamptz,
  offsets_us bigint[],
  operations text[],
  sizes bigint[]
)
returns table (allowed boolean, cost numeric, retry_after_ms bigint)
language plpgsql
volatile
parallel unsafe
as $$
declare
  operation record;
begin
  for operation in
    select o.app_id, o.offset_us, o.name, o.size
    from unnest(app_ids, offsets_us, operations, sizes) as o (app_id, offset_us, name, size)
  loop
    select d.allowed, d.cost, d.retry_after_ms
    into replay_batch.allowed, replay_batch.cost, replay_batch.retry_after_ms
    from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(operation.app_id),
      rate_limiter_internal.moment_after(epoch, operation.offset_us),
      operation.app_id,
      operation.name,
      operation.size
    ) as d;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_internal.replay_batch(
  uuid[], timestamptz, bigint[], text[], bigint[]
) is
  'Decides recorded operations at their own moments, in order: each takes the same road as a '
  'live one. For tests and tools only.';
