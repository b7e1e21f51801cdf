update rate_limiter.token_buckets as b
set current_tokens = b.current_tokens - 1.000100, last_refill_at = now(), updated_at = now()
where b.shard_key = rate_limiter_internal.app_shard_key(md5('plain ' || :n::text)::uuid)
  and b.owner_id = md5('plain ' || :n::text)::uuid
  and b.bucket_type = 'iops_l2'
  and b.mode = 'enforce';
