-- Partitions of so many days before today that a new installation has none for.
create function bench.make_ledger_partitions(days integer) returns void
language sql
as $$
  select rate_limiter_private.make_partition('rate_limiter', 'token_transactions', day.starts_at)
  from generate_series(1, days) as ago
  cross join lateral rate_limiter_internal.period_start(now(), 'day', -ago) as day (starts_at)
  where not exists (
    select
    from rate_limiter_internal.partitions() as p
    where p.table_name = 'token_transactions' and p.starts_at = day.starts_at
  );
$$;

create view bench.full_buckets as
select n, b.shard_key, b.owner_id, b.bucket_type, b.mode
from generate_series(1, 1000000) as n
join rate_limiter.token_buckets as b
  on b.shard_key = (select c.shard_key from rate_limiter.clusters as c where c.name = 'bench')
  and b.owner_id = md5('full ' || n)::uuid
  and b.bucket_type in ('iops_l2', 'bandwidth_l2')
  and b.mode = 'enforce';

-- Rows that are there already get higher numbers, so that older ones can come before them.
create function bench.make_room_in_ledger(applications integer, of_each bigint) returns void
language plpgsql
as $$
begin
  perform set_config('session_replication_role', 'replica', true);
  update rate_limiter.token_transactions as t
  set seq = t.seq + of_each
  from bench.full_buckets as b
  where b.n <= applications
    and (t.shard_key, t.owner_id, t.bucket_type, t.mode)
      = (b.shard_key, b.owner_id, b.bucket_type, b.mode);
  update rate_limiter.token_buckets as t
  set ledger_seq = t.ledger_seq + of_each
  from bench.full_buckets as b
  where b.n <= applications
    and (t.shard_key, t.owner_id, t.bucket_type, t.mode)
      = (b.shard_key, b.owner_id, b.bucket_type, b.mode);
  perform set_config('session_replication_role', 'origin', true);
end;
$$;

-- Rows lowest to highest of each bucket, out of of_each that spread over the days until it was
-- made. Each takes what flowed in, so that all balances follow from nothing, as verify_ledger()
-- wants them.
create function bench.grow_ledger(
  applications integer,
  of_each bigint,
  lowest bigint,
  highest bigint,
  days integer
)
returns void
language sql
as $$
  insert into rate_limiter.token_transactions (
    shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
    refilled, balance_after
  )
  select
    b.shard_key,
    b.owner_id,
    made.at - days * interval '1 day' * ((of_each - seq + b.n / (applications + 1.0)) / of_each)::float8,
    seq, b.bucket_type, b.mode, 'consume', -charge.tokens, charge.tokens, 0
  from generate_series(lowest, highest) as seq
  cross join bench.full_buckets as b
  cross join lateral (
    select case b.bucket_type when 'iops_l2' then 1.500100 else 4096 end as tokens
  ) as charge
  cross join (
    select min(t.created_at) as at
    from rate_limiter.token_transactions as t
    where t.shard_key = rate_limiter_internal.app_shard_key(md5('full 1')::uuid)
      and t.owner_id = md5('full 1')::uuid
      and t.balance_after <> 0
  ) as made
  where b.n <= applications
  order by seq, b.n desc;
$$;
