-- The source design's query patterns, sent one by one by a client: key, cost, then select for
-- update, update and insert for each bucket of both layers.
begin;
select app_id, cluster_app_id from naive.applications
where api_key_hash = encode(sha256(convert_to('naive-' || :n::text, 'UTF8')), 'hex') \gset
select ceil(
  coalesce(r.c_base_override, o.c_base)
  + (4096.0 / o.unit_quantum) * coalesce(r.c_bw_override, o.c_bw)
)::bigint as cost
from naive.operation_types as o
left join naive.cost_rules as r
  on r.operation_id = o.operation_id
  and r.app_id = :app_id::uuid
  and r.is_active
  and r.valid_from <= current_timestamp
  and (r.valid_to is null or r.valid_to > current_timestamp)
where o.name = 'read_small' \gset
select bucket_id, current_tokens, capacity, refill_rate, last_refill_at,
  extract(epoch from (current_timestamp - last_refill_at)) * refill_rate as tokens_refilled
from naive.token_buckets
where app_id = :app_id::uuid and bucket_type = 'iops_l2'
for update \gset
update naive.token_buckets
set current_tokens = greatest(0, current_tokens - :cost::bigint), updated_at = current_timestamp
where bucket_id = :bucket_id::uuid
returning current_tokens as balance \gset
insert into naive.token_transactions
  (bucket_id, tokens_change, transaction_type, balance_after, reference_id)
values (:bucket_id::uuid, -:cost::bigint, 'consume', :balance::bigint, null);
select bucket_id, current_tokens, capacity, refill_rate, last_refill_at,
  extract(epoch from (current_timestamp - last_refill_at)) * refill_rate as tokens_refilled
from naive.token_buckets
where app_id = :app_id::uuid and bucket_type = 'bandwidth_l2'
for update \gset
update naive.token_buckets
set current_tokens = greatest(0, current_tokens - 4096), updated_at = current_timestamp
where bucket_id = :bucket_id::uuid
returning current_tokens as balance \gset
insert into naive.token_transactions
  (bucket_id, tokens_change, transaction_type, balance_after, reference_id)
values (:bucket_id::uuid, -4096, 'consume', :balance::bigint, null);
select bucket_id, current_tokens, capacity, refill_rate, last_refill_at,
  extract(epoch from (current_timestamp - last_refill_at)) * refill_rate as tokens_refilled
from naive.token_buckets
where app_id = :cluster_app_id::uuid and bucket_type = 'iops_l1'
for update \gset
update naive.token_buckets
set current_tokens = greatest(0, current_tokens - :cost::bigint), updated_at = current_timestamp
where bucket_id = :bucket_id::uuid
returning current_tokens as balance \gset
insert into naive.token_transactions
  (bucket_id, tokens_change, transaction_type, balance_after, reference_id)
values (:bucket_id::uuid, -:cost::bigint, 'consume', :balance::bigint, null);
select bucket_id, current_tokens, capacity, refill_rate, last_refill_at,
  extract(epoch from (current_timestamp - last_refill_at)) * refill_rate as tokens_refilled
from naive.token_buckets
where app_id = :cluster_app_id::uuid and bucket_type = 'bandwidth_l1'
for update \gset
update naive.token_buckets
set current_tokens = greatest(0, current_tokens - 4096), updated_at = current_timestamp
where bucket_id = :bucket_id::uuid
returning current_tokens as balance \gset
insert into naive.token_transactions
  (bucket_id, tokens_change, transaction_type, balance_after, reference_id)
values (:bucket_id::uuid, -4096, 'consume', :balance::bigint, null);
commit;
