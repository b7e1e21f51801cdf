create or replace function rate_limiter_internal.load_world_reservations(world jsonb)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  cluster uuid;
  reserve rate_limiter.token_buckets;
begin
  insert into rate_limiter.reservations
    (app_id, cluster_id, reserved_iops, reserved_bps, reservation_seconds)
  select a.app_id, a.cluster_id, r.iops, r.bandwidth_bps, coalesce(r.seconds, 1)
  from jsonb_to_recordset(nullif(world -> 'reservations', 'null')) as r (
    app text, iops bigint, bandwidth_bps bigint, seconds integer
  )
  join rate_limiter.applications as a on a.name = r.app;

  -- They have stood for long: reserves are full at the first step, however early that is.
  for cluster in
    select distinct r.cluster_id from rate_limiter.reservations as r
  loop
    perform rate_limiter_internal.sync_reserves_at('epoch', cluster);
  end loop;
  for reserve in
    select b.*
    from rate_limiter.token_buckets as b
    where b.reserve_cluster_id is not null
    order by b.owner_id, b.bucket_type
  loop
    perform rate_limiter_internal.write_buckets(
      'epoch', 'adjust', array[reserve],
      array[rate_limiter_internal.with_tokens(reserve, reserve.last_capacity)], null,
      '{"cause": "world"}'
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.load_world_reservations(jsonb) is
  'Inserts the reservations of a world. For tests and tools only: load_world() calls it.';
