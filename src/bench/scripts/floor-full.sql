-- The rows that a full decision writes: two buckets, their two ledger rows and a stripe of layer 1.
with taken as (
  update rate_limiter_internal.layer1_stripes as s
  set iops = s.iops - 1.500100, bytes = s.bytes - 4096
  where s.shard_key = 0 and s.stripe = rate_limiter_internal.session_stripe()
), charged as (
  update rate_limiter.token_buckets as b
  set
    current_tokens = b.current_tokens - 1.500100,
    last_refill_at = now(),
    ledger_seq = b.ledger_seq + 1,
    updated_at = now()
  where b.shard_key = (select c.shard_key from rate_limiter.clusters as c where c.name = 'bench')
    and b.owner_id = md5('full ' || :n::text)::uuid
    and b.bucket_type in ('iops_l2', 'bandwidth_l2')
    and b.mode = 'enforce'
  returning b.shard_key, b.owner_id, b.bucket_type, b.mode, b.ledger_seq, b.current_tokens
)
insert into rate_limiter.token_transactions (
  shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
  refilled, balance_after
)
select
  c.shard_key, c.owner_id, now(), c.ledger_seq, c.bucket_type, c.mode, 'consume', -1.500100, 0,
  c.current_tokens
from charged as c;
