-- The rows that a decision on one bucket writes: one bucket and its ledger row.
with charged as (
  update rate_limiter.token_buckets as b
  set
    current_tokens = b.current_tokens - 1.000100,
    last_refill_at = now(),
    ledger_seq = b.ledger_seq + 1,
    updated_at = now()
  where b.shard_key = rate_limiter_internal.app_shard_key(md5('plain ' || :n::text)::uuid)
    and b.owner_id = md5('plain ' || :n::text)::uuid
    and b.bucket_type = 'iops_l2'
    and b.mode = 'enforce'
  returning b.shard_key, b.owner_id, b.bucket_type, b.mode, b.ledger_seq, b.current_tokens
)
insert into rate_limiter.token_transactions (
  shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
  refilled, balance_after
)
select
  c.shard_key, c.owner_id, now(), c.ledger_seq, c.bucket_type, c.mode, 'consume', -1.000100, 0,
  c.current_tokens
from charged as c;
