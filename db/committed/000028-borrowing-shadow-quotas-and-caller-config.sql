--! Previous: sha1:7bc84fcfbfbc30af83adf7700cddb79a1805a696
--! Hash: sha1:2b9d79ebf999d023b1147eaf2e705cb02068fbf7
--! Message: borrowing shadow quotas and caller config

-- Borrowing
--! Included rate_limiter_internal/borrowing/check_loan.sql
create or replace function rate_limiter_internal.check_loan(
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  amount numeric
)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  perform rate_limiter_internal.check_amount(amount, 'tokens');
  if amount = 0 then
    raise exception using
      errcode = 'QS422',
      message = 'amount is not positive',
      detail = format('tokens: %s', amount),
      hint = 'Borrow more than nothing.';
  elsif bucket_type not in ('iops_l2', 'bandwidth_l2') then
    raise exception using
      errcode = 'QS422',
      message = 'only applications borrow',
      detail = format('owner: %s, bucket: %s', owner_id, bucket_type),
      hint = 'Borrow for a layer-2 bucket; a cluster gets a larger quota.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_loan(uuid, rate_limiter.bucket_type, numeric) is
  'Raises QS422 for an amount that cannot be borrowed, or a bucket that is not of layer 2.';
--! EndIncluded rate_limiter_internal/borrowing/check_loan.sql
--! Included rate_limiter_internal/borrowing/check_duration.sql
create or replace function rate_limiter_internal.check_duration(
  at timestamptz,
  duration interval
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  longest constant interval := rate_limiter_internal.setting_interval_seconds(
    'max_borrow_duration'
  );
begin
  -- By the moment it ends, too: months count as thirty days, which not all of them have.
  if duration is null
    or duration <= interval '0'
    or duration <= longest and at + duration <= at
  then
    raise exception using
      errcode = 'QS422',
      message = 'duration is not positive',
      detail = format('duration: %s', duration),
      hint = 'Say for how long to borrow.';
  elsif duration > longest or at + duration > at + longest then
    raise exception using
      errcode = 'QS422',
      message = 'duration too long',
      detail = format('duration: %s, longest: %s', duration, longest),
      hint = 'Borrow for less long, or raise the setting max_borrow_duration.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_duration(timestamptz, interval) is
  'Raises QS422 for a duration that nothing can be borrowed for at a moment.';
--! EndIncluded rate_limiter_internal/borrowing/check_duration.sql
--! Included rate_limiter_internal/borrowing/may_lend.sql
create or replace function rate_limiter_internal.may_lend(
  borrower_id uuid,
  bucket_type rate_limiter.bucket_type,
  lender_id uuid
)
returns boolean
language plpgsql
stable
parallel safe
as $$
begin
  return lender_id is null or exists (
    select
    from rate_limiter.app_facts as borrower
    join rate_limiter.app_facts as lender
      on lender.shard_key = borrower.shard_key
      and lender.tenant_id = borrower.tenant_id
      and lender.cluster_id = borrower.cluster_id
    join rate_limiter.token_buckets as b
      on b.shard_key = lender.shard_key
      and b.owner_id = lender.app_id
      and b.bucket_type = may_lend.bucket_type
      and b.mode = 'enforce'
    where borrower.app_id = borrower_id
      and lender.app_id = lender_id
      and lender.app_id <> borrower.app_id
      -- Its quota does not count under a ceiling, and fills its bucket all the same.
      and lender.is_active
      and lender.tenant_is_active
  );
end;
$$;

comment on function rate_limiter_internal.may_lend(uuid, rate_limiter.bucket_type, uuid) is
  'Whether an application may borrow from another one: active, of the same tenant, on the same '
  'cluster, with a bucket of the same kind. True without a lender: from its own future.';
--! EndIncluded rate_limiter_internal/borrowing/may_lend.sql
--! Included rate_limiter_internal/borrowing/check_credit.sql
create or replace function rate_limiter_internal.check_credit(
  bucket rate_limiter.token_buckets,
  amount numeric,
  repayment_tokens numeric
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  most constant numeric := bucket.capacity
    * rate_limiter_internal.setting_numeric('max_borrow_ratio');
  -- However the clock was set since it was borrowed.
  owed constant numeric := repayment_tokens
    + rate_limiter_internal.debt_of(
      bucket.shard_key, 'infinity', bucket.owner_id, bucket.bucket_type
    );
begin
  if bucket.current_tokens + amount > most
    or owed > least(most, rate_limiter_internal.debt_limit(bucket))
  then
    raise exception using
      errcode = 'QS409',
      message = 'borrow limit',
      detail = format(
        'tokens: %s, asked: %s, owed with this one: %s, most: %s, debt limit: %s',
        bucket.current_tokens, amount, owed, most, rate_limiter_internal.debt_limit(bucket)
      ),
      hint = 'Borrow less, repay what is owed first, or raise the setting max_borrow_ratio.';
  end if;
end;
$$;

comment on function rate_limiter_internal.check_credit(
  rate_limiter.token_buckets, numeric, numeric
) is
  'Raises QS409 for a bucket that would hold, or owe in all, more than max_borrow_ratio times its '
  'capacity, or would owe more than its debt limit.';
--! EndIncluded rate_limiter_internal/borrowing/check_credit.sql
--! Included rate_limiter_internal/borrowing/debit_lender.sql
create or replace function rate_limiter_internal.debit_lender(
  shard_key integer,
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  amount numeric,
  borrowing_id uuid
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  before rate_limiter.token_buckets;
  after rate_limiter.token_buckets;
begin
  before := rate_limiter_internal.lock_bucket(shard_key, at, owner_id, bucket_type, 'enforce');
  perform rate_limiter_internal.require_bucket(before, owner_id, bucket_type);
  if before.current_tokens - amount < before.min_reserve then
    raise exception using
      errcode = 'QS409',
      message = 'lender short',
      -- What a cluster holds tells what all of its tenants do.
      detail = case
        when rate_limiter_internal.is_layer1(bucket_type) then format('asked: %s', amount)
        else format(
          'tokens: %s, asked: %s, reserve: %s', before.current_tokens, amount, before.min_reserve
        )
      end,
      hint = 'Borrow less, later, or from another lender.';
  end if;

  after := before;
  after.current_tokens := after.current_tokens - amount;
  perform rate_limiter_internal.write_buckets(
    at, 'borrow', array[before], array[after], null,
    jsonb_build_object('borrowing', borrowing_id)
  );
end;
$$;

comment on function rate_limiter_internal.debit_lender(
  integer, timestamptz, uuid, rate_limiter.bucket_type, numeric, uuid
) is
  'Takes what is lent out of the lender''s bucket. Raises QS409 where that would touch its '
  'min_reserve.';
--! EndIncluded rate_limiter_internal/borrowing/debit_lender.sql
--! Included rate_limiter_internal/borrowing/lock_borrowing.sql
create or replace function rate_limiter_internal.lock_borrowing(
  shard_key integer,
  owner_id uuid,
  borrowing_id uuid
)
returns rate_limiter.token_borrowing
language plpgsql
volatile
parallel unsafe
as $$
declare
  borrowing rate_limiter.token_borrowing;
begin
  select b.* into borrowing
  from rate_limiter.token_borrowing as b
  where b.shard_key = lock_borrowing.shard_key
    and b.owner_id = lock_borrowing.owner_id and b.borrowing_id = lock_borrowing.borrowing_id
  for update;

  if not found then
    perform rate_limiter_internal.require_not_moved(shard_key, owner_id);
    raise exception using
      errcode = 'QS404',
      message = 'unknown borrowing',
      detail = format('owner: %s, borrowing: %s', owner_id, borrowing_id),
      hint = 'Check the ids.';
  end if;
  return borrowing;
end;
$$;

comment on function rate_limiter_internal.lock_borrowing(integer, uuid, uuid) is
  'Locks a borrowing, before its buckets (lock order). Raises QS404 for an unknown one.';
--! EndIncluded rate_limiter_internal/borrowing/lock_borrowing.sql
--! Included rate_limiter_internal/borrowing/borrow_tokens_at.sql
create or replace function rate_limiter_internal.borrow_tokens_at(
  at timestamptz,
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  amount numeric,
  duration interval,
  lender_owner_id uuid default null,
  out borrowing_id uuid,
  out tokens numeric,
  out repayment_tokens numeric,
  out due_at timestamptz
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  shard constant integer := rate_limiter_internal.app_shard_key(owner_id);
  interest constant numeric(5, 4) := rate_limiter_internal.setting_numeric(
    'default_interest_rate'
  );
  may_lend constant boolean := rate_limiter_internal.may_lend(
    owner_id, bucket_type, lender_owner_id
  );
  lender_shard constant integer := rate_limiter_internal.app_shard_key(lender_owner_id);
  -- Of a tenant with ceilings: others set quotas only within what its loans leave.
  limited record;
  moment timestamptz;
  before rate_limiter.token_buckets;
begin
  perform rate_limiter_internal.check_loan(owner_id, bucket_type, amount);
  select f.tenant_id, f.cluster_id
  into limited
  from rate_limiter.app_facts as f
  where f.app_id = borrow_tokens_at.owner_id
    and exists (select from rate_limiter.tenant_ceilings as c where c.tenant_id = f.tenant_id);
  if found then
    perform rate_limiter_internal.lock_ceilings(array[limited.tenant_id]);
  end if;
  moment := rate_limiter_internal.lock_in_order(at, array[
    row(shard, owner_id, bucket_type, 'enforce', 0)::rate_limiter_internal.bucket_charge,
    row(lender_shard, case when may_lend then lender_owner_id end, bucket_type, 'enforce', 0)
      ::rate_limiter_internal.bucket_charge
  ]);
  before := rate_limiter_internal.lock_bucket(shard, moment, owner_id, bucket_type, 'enforce');
  repayment_tokens := amount + ceil(amount * interest * 1000000) * 0.000001;
  if before.owner_id is null then
    perform rate_limiter_internal.require_not_moved(shard, owner_id);
  end if;
  perform rate_limiter_internal.require_bucket(before, owner_id, bucket_type);
  perform rate_limiter_internal.require_out_of_debt(before);
  perform rate_limiter_internal.check_duration(moment, duration);
  if not may_lend then
    raise exception using
      errcode = 'QS422',
      message = 'lender not allowed',
      detail = format('borrower: %s, lender: %s', owner_id, lender_owner_id),
      hint = 'Lenders are other applications of the same tenant on the same cluster.';
  end if;
  perform rate_limiter_internal.check_credit(before, amount, repayment_tokens);

  borrowing_id := gen_random_uuid();
  due_at := moment + duration;
  if lender_owner_id is not null then
    perform rate_limiter_internal.debit_lender(
      lender_shard, moment, lender_owner_id, bucket_type, amount, borrowing_id
    );
  end if;

  tokens := before.current_tokens + amount;
  perform rate_limiter_internal.write_buckets(
    moment, 'borrow', array[before], array[rate_limiter_internal.with_tokens(before, tokens)],
    null, jsonb_build_object('borrowing', borrowing_id)
  );
  insert into rate_limiter.token_borrowing (
    shard_key, owner_id, borrowing_id, bucket_type, lender_owner_id, lender_bucket_type,
    tokens_borrowed, repayment_tokens, interest_rate, borrowed_at, due_at, collect_at
  )
  values (
    shard, owner_id, borrowing_id, bucket_type, lender_owner_id,
    case when lender_owner_id is not null then bucket_type end, amount, repayment_tokens,
    interest, moment, due_at, due_at
  );
  if limited.tenant_id is not null then
    perform rate_limiter_internal.require_ceilings(moment, limited.tenant_id, limited.cluster_id);
  end if;
end;
$$;

comment on function rate_limiter_internal.borrow_tokens_at(
  timestamptz, uuid, rate_limiter.bucket_type, numeric, interval, uuid
) is
  'Lends a layer-2 bucket tokens until due_at, from another application''s bucket or from its own '
  'future; at null is live. tokens: what the bucket holds now. repayment_tokens: what it owes, '
  'interest included. Raises QS404 for an unknown bucket, QS422 for an amount, a duration or a '
  'lender that is not allowed, QS409 where a debt, the limit or the lender''s reserve forbids it, '
  'QS403 where what the loan holds of a ceiling is given to another application later; then no '
  'token moves.';
--! EndIncluded rate_limiter_internal/borrowing/borrow_tokens_at.sql
--! Included rate_limiter_internal/borrowing/repayment_of.sql
create or replace function rate_limiter_internal.repayment_of(
  at timestamptz,
  borrowing rate_limiter.token_borrowing,
  tokens numeric,
  out paid numeric,
  out owed numeric,
  out status rate_limiter.borrowing_status
)
language plpgsql
stable
parallel safe
as $$
begin
  owed := borrowing.repayment_tokens - borrowing.repaid_tokens;
  -- What is overdue is taken in full, below zero if need be: refill pays it first.
  paid := case
    when at > borrowing.due_at
        + rate_limiter_internal.setting_interval_seconds('borrow_grace_seconds')
      then owed
    else least(greatest(tokens, 0), owed)
  end;
  owed := owed - paid;
  status := case
    when owed > 0 then 'active'
    when tokens < paid then 'defaulted'
    else 'repaid'
  end;
end;
$$;

comment on function rate_limiter_internal.repayment_of(
  timestamptz, rate_limiter.token_borrowing, numeric
) is
  'What a borrowing bucket that holds so many tokens pays of an active borrowing at a moment, what '
  'is owed then, and what the borrowing is by that.';
--! EndIncluded rate_limiter_internal/borrowing/repayment_of.sql
--! Included rate_limiter_internal/borrowing/lock_debtors.sql
create or replace function rate_limiter_internal.lock_debtors(
  inout at timestamptz,
  borrowings rate_limiter.token_borrowing[],
  out buckets rate_limiter.token_buckets[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  wanted record;
  bucket rate_limiter.token_buckets;
  stored rate_limiter.token_buckets[] := '{}';
begin
  for wanted in
    select distinct
      rate_limiter_internal.lock_rank(w.bucket_type) as rank, w.owner_id, w.bucket_type,
      rate_limiter_internal.app_shard_key(w.owner_id) as shard_key
    from (
      select b.owner_id, b.bucket_type from unnest(borrowings) as b
      union all
      select b.lender_owner_id, b.lender_bucket_type from unnest(borrowings) as b
    ) as w
    where w.owner_id is not null
    order by 1, 2, 3
  loop
    select b.* into bucket
    from rate_limiter.token_buckets as b
    where b.shard_key = wanted.shard_key
      and b.owner_id = wanted.owner_id
      and b.bucket_type = wanted.bucket_type
      and b.mode = 'enforce'
    for update;
    if found then
      stored := stored || bucket;
    else
      perform rate_limiter_internal.require_not_moved(wanted.shard_key, wanted.owner_id);
    end if;
  end loop;

  at := coalesce(at, clock_timestamp());
  buckets := '{}';
  foreach bucket in array stored loop
    buckets := buckets || rate_limiter_internal.locked_bucket_at(at, bucket);
  end loop;
end;
$$;

comment on function rate_limiter_internal.lock_debtors(
  timestamptz, rate_limiter.token_borrowing[]
) is
  'Locks the buckets of borrowings that the caller has locked, and those that lent to them, in the '
  'lock order; returns them as they stand at the moment, where that is null what the clock says '
  'then. Changes of quota since they were last written are written.';
--! EndIncluded rate_limiter_internal/borrowing/lock_debtors.sql
--! Included rate_limiter_internal/borrowing/repay_borrowings_at.sql
create or replace function rate_limiter_internal.repay_borrowings_at(
  at timestamptz,
  borrowings rate_limiter.token_borrowing[]
)
returns table (paid numeric, owed numeric, status rate_limiter.borrowing_status)
language plpgsql
volatile
parallel unsafe
as $$
declare
  locked record;
  keys text[];
  -- One after the other on the same buckets: each finds what the one before has left.
  buckets rate_limiter.token_buckets[];
  borrowing rate_limiter.token_borrowing;
  lends boolean;
  -- Of a borrowing: its own bucket and, where it has one, its lender's.
  places integer[];
  before rate_limiter.token_buckets[];
  after rate_limiter.token_buckets[];
begin
  locked := rate_limiter_internal.lock_debtors(at, borrowings);
  buckets := locked.buckets;
  keys := array(
    select u.owner_id || '/' || u.bucket_type
    from unnest(buckets) with ordinality as u
    order by u.ordinality
  );

  foreach borrowing in array borrowings loop
    places := array[
      array_position(keys, borrowing.owner_id || '/' || borrowing.bucket_type),
      array_position(keys, borrowing.lender_owner_id || '/' || borrowing.lender_bucket_type)
    ];
    lends := places[2] is not null;
    before := array[buckets[places[1]]];
    select r.paid, r.owed, r.status
    into paid, owed, status
    from rate_limiter_internal.repayment_of(
      locked.at, borrowing, (before[1]).current_tokens
    ) as r;

    if paid > 0 then
      after := array[
        rate_limiter_internal.with_tokens(before[1], (before[1]).current_tokens - paid)
      ];
      if lends then
        before := before || buckets[places[2]];
        after := after || rate_limiter_internal.credit_bucket(before[2], paid);
      end if;
      perform rate_limiter_internal.write_buckets(
        locked.at, 'repay', before, after, null,
        jsonb_build_object('borrowing', borrowing.borrowing_id)
      );
      for place in 1 .. cardinality(after) loop
        continue when after[place] is not distinct from before[place];
        after[place].ledger_seq := (after[place]).ledger_seq + 1;
        after[place].refilled := 0;
        buckets[places[place]] := after[place];
      end loop;
    end if;

    update rate_limiter.token_borrowing as b
    set
      repaid_tokens = b.repaid_tokens + paid,
      status = repay_borrowings_at.status,
      repaid_at = case when owed = 0 then locked.at end,
      collect_at = case
        when owed > 0 and b.collect_at <= locked.at then locked.at + interval '1 minute'
        else b.collect_at
      end
    where b.shard_key = borrowing.shard_key
      and b.owner_id = borrowing.owner_id
      and b.borrowing_id = borrowing.borrowing_id;
    return next;
  end loop;
end;
$$;

comment on function rate_limiter_internal.repay_borrowings_at(
  timestamptz, rate_limiter.token_borrowing[]
) is
  'Collects of active borrowings that the caller has locked what their buckets hold, one after the '
  'other, and credits the lenders up to their capacity; at null is live. Past due and grace all of '
  'it is taken, below zero if need be: it is then defaulted, and nothing is owed. What is still '
  'owed is due again a minute later. Answers in their order. paid: by this call. owed: what is '
  'left.';
--! EndIncluded rate_limiter_internal/borrowing/repay_borrowings_at.sql
--! Included rate_limiter_internal/borrowing/repay_borrowing_at.sql
create or replace function rate_limiter_internal.repay_borrowing_at(
  at timestamptz,
  owner_id uuid,
  borrowing_id uuid,
  out paid numeric,
  out owed numeric,
  out status rate_limiter.borrowing_status
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  borrowing rate_limiter.token_borrowing;
begin
  borrowing := rate_limiter_internal.lock_borrowing(
    rate_limiter_internal.app_shard_key(owner_id), owner_id, borrowing_id
  );
  paid := 0;
  owed := 0;
  status := borrowing.status;
  if status = 'active' then
    select r.paid, r.owed, r.status
    into paid, owed, status
    from rate_limiter_internal.repay_borrowings_at(at, array[borrowing]) as r;
  end if;
end;
$$;

comment on function rate_limiter_internal.repay_borrowing_at(timestamptz, uuid, uuid) is
  'Collects what a borrowing bucket holds, not below zero, up to what it still owes, and credits '
  'the lender up to its capacity; at null is live. Past due and grace all of it is taken, below '
  'zero if need be: it is then defaulted, and nothing is owed. paid: by this call. owed: what is '
  'left. Raises QS404 for an unknown borrowing.';
--! EndIncluded rate_limiter_internal/borrowing/repay_borrowing_at.sql
--! Included rate_limiter_internal/borrowing/cancel_borrowing_at.sql
create or replace function rate_limiter_internal.cancel_borrowing_at(
  at timestamptz,
  owner_id uuid,
  borrowing_id uuid,
  reason text
)
returns void
language plpgsql
volatile
parallel unsafe
set timezone = 'UTC'
as $$
declare
  shard constant integer := rate_limiter_internal.app_shard_key(owner_id);
  borrowing rate_limiter.token_borrowing;
begin
  borrowing := rate_limiter_internal.lock_borrowing(shard, owner_id, borrowing_id);
  if borrowing.status <> 'active' then
    raise exception using
      errcode = 'QS409',
      message = 'borrowing is closed',
      detail = format('borrowing: %s, status: %s', borrowing_id, borrowing.status),
      hint = 'Only what is still owed can be written off.';
  end if;

  update rate_limiter.token_borrowing as b
  set
    status = 'cancelled',
    metadata = b.metadata || jsonb_build_object('cancelled_at', at, 'reason', reason)
  where b.shard_key = borrowing.shard_key
    and b.owner_id = borrowing.owner_id
    and b.borrowing_id = borrowing.borrowing_id;
end;
$$;

comment on function rate_limiter_internal.cancel_borrowing_at(
  timestamptz, uuid, uuid, text
) is
  'Writes off what is still owed of a borrowing; no token moves. Raises QS404 for an unknown '
  'one, QS409 for one that is repaid or written off already.';
--! EndIncluded rate_limiter_internal/borrowing/cancel_borrowing_at.sql
--! Included rate_limiter_private/borrowing/collect_borrowings.sql
create or replace function rate_limiter_private.collect_borrowings(
  at timestamptz,
  batch_size integer default 200
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  due rate_limiter.token_borrowing[];
  borrowing rate_limiter.token_borrowing;
  moment constant timestamptz := coalesce(at, clock_timestamp());
begin
  perform rate_limiter_internal.follow_durability();
  due := array(
    select b
    from rate_limiter.token_borrowing as b
    where b.status = 'active' and b.collect_at <= moment
    order by b.collect_at
    limit batch_size
    for update skip locked
  );

  begin
    perform rate_limiter_internal.repay_borrowings_at(at, due);
    return cardinality(due);
  exception
    when data_exception or integrity_constraint_violation or program_limit_exceeded
      or raise_exception or sqlstate 'QS409'
    then null;
  end;

  -- One at a time: what is wrong with one keeps no other from being collected. Their buckets are
  -- locked in order before.
  perform rate_limiter_internal.lock_in_order(at, array(
    select row(
      rate_limiter_internal.app_shard_key(w.owner_id), w.owner_id, w.bucket_type, 'enforce', 0
    )::rate_limiter_internal.bucket_charge
    from (
      select d.owner_id, d.bucket_type from unnest(due) as d
      union all
      select d.lender_owner_id, d.lender_bucket_type from unnest(due) as d
    ) as w
  ));
  foreach borrowing in array due loop
    begin
      perform rate_limiter_internal.repay_borrowings_at(at, array[borrowing]);
    exception
      when data_exception or integrity_constraint_violation or program_limit_exceeded
        or raise_exception or sqlstate 'QS409'
      then
        perform rate_limiter_private.record_job_failure(
          'collect_borrowings', borrowing.owner_id::text, sqlstate, sqlerrm
        );
        update rate_limiter.token_borrowing as b
        set collect_at = moment + interval '1 minute'
        where b.shard_key = borrowing.shard_key
          and b.owner_id = borrowing.owner_id
          and b.borrowing_id = borrowing.borrowing_id;
    end;
  end loop;
  return cardinality(due);
end;
$$;

comment on function rate_limiter_private.collect_borrowings(timestamptz, integer) is
  'Collects, at a moment (null for live), up to batch_size borrowings that are due, passing over '
  'those that another worker has at hand; answers how many it tried. Their buckets are locked '
  'until the end of the transaction: call it in transactions of their own, with few each, until '
  'it answers less than batch_size. What is still owed within its grace is tried again a minute '
  'later, and so is one that failed, which is counted in job_failures.';
grant execute on function rate_limiter_private.collect_borrowings(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/borrowing/collect_borrowings.sql
--! Included rate_limiter/borrowing/borrow_automatically.sql
create or replace function rate_limiter.borrow_automatically(
  app_id uuid,
  tokens numeric
)
returns numeric
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.follow_durability();
  if not exists (
    select from rate_limiter.app_facts as f
    where f.app_id = borrow_automatically.app_id
      and f.auto_borrow
      and f.is_active
      and f.tenant_is_active
  ) then
    raise exception using
      errcode = 'QS403',
      message = 'automatic borrowing is off',
      detail = format('app_id: %s', app_id),
      hint = 'An administrator can switch it on for the application (auto_borrow).';
  end if;

  return (rate_limiter_internal.borrow_tokens_at(
    null, app_id, 'iops_l2', tokens,
    rate_limiter_internal.setting_interval_seconds('max_borrow_duration')
  )).tokens;
end;
$$;

comment on function rate_limiter.borrow_automatically(uuid, numeric) is
  'Borrows tokens from the future of an application''s IOPS bucket for the longest duration; '
  'answers what it holds now. For gateways that were denied for want of IOPS tokens, where the '
  'application allows it (auto_borrow), else QS403; raises what borrowing raises.';
grant execute on function rate_limiter.borrow_automatically(uuid, numeric)
  to rate_limiter_app;
--! EndIncluded rate_limiter/borrowing/borrow_automatically.sql
--! Included rate_limiter_admin/borrowing/borrow_tokens.sql
create or replace function rate_limiter_admin.borrow_tokens(
  owner_id uuid,
  bucket_type rate_limiter.bucket_type,
  tokens numeric,
  duration interval,
  lender_owner_id uuid default null
)
returns rate_limiter.token_borrowing
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  new_borrowing_id uuid;
  borrowing rate_limiter.token_borrowing;
begin
  perform rate_limiter_internal.commit_locally();
  perform rate_limiter_internal.require_bucket_owner(owner_id, 'token', 'borrow');

  select b.borrowing_id
  into new_borrowing_id
  from rate_limiter_internal.borrow_tokens_at(
    null, owner_id, bucket_type, tokens, duration, lender_owner_id
  ) as b;

  select b.* into borrowing
  from rate_limiter.token_borrowing as b
  where b.shard_key = rate_limiter_internal.app_shard_key(borrow_tokens.owner_id)
    and b.owner_id = borrow_tokens.owner_id and b.borrowing_id = new_borrowing_id;

  perform rate_limiter_internal.write_bucket_audit(
    'borrow', 'token_borrowing', new_borrowing_id, owner_id,
    jsonb_build_object(
      'bucket_type', bucket_type,
      'tokens', borrowing.tokens_borrowed::text,
      'repayment_tokens', borrowing.repayment_tokens::text,
      'lender_owner_id', lender_owner_id
    )
  );
  return borrowing;
end;
$$;

comment on function rate_limiter_admin.borrow_tokens(
  uuid, rate_limiter.bucket_type, numeric, interval, uuid
) is
  E'@resultFieldName borrowing\n'
  'Lends a bucket tokens for a time: from another application of the tenant, from the cluster, '
  'or without a lender from its own future. They are paid back with interest when due.';
grant execute on function rate_limiter_admin.borrow_tokens(
  uuid, rate_limiter.bucket_type, numeric, interval, uuid
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/borrowing/borrow_tokens.sql
--! Included rate_limiter_admin/borrowing/repay_borrowing.sql
create or replace function rate_limiter_admin.repay_borrowing(owner_id uuid, borrowing_id uuid)
returns rate_limiter.token_borrowing
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  payment record;
  borrowing rate_limiter.token_borrowing;
begin
  perform rate_limiter_internal.commit_locally();
  perform rate_limiter_internal.require_bucket_owner(owner_id, 'token', 'borrow');

  select p.paid, p.owed, p.status
  into payment
  from rate_limiter_internal.repay_borrowing_at(
    null, owner_id, borrowing_id
  ) as p;

  perform rate_limiter_internal.write_bucket_audit(
    'repay', 'token_borrowing', borrowing_id, owner_id,
    jsonb_build_object(
      'paid', payment.paid::text, 'owed', payment.owed::text, 'status', payment.status
    )
  );

  select b.* into borrowing
  from rate_limiter.token_borrowing as b
  where b.shard_key = rate_limiter_internal.app_shard_key(repay_borrowing.owner_id)
    and b.owner_id = repay_borrowing.owner_id and b.borrowing_id = repay_borrowing.borrowing_id;

  return borrowing;
end;
$$;

comment on function rate_limiter_admin.repay_borrowing(uuid, uuid) is
  E'@resultFieldName borrowing\n'
  'Pays a borrowing back with what its bucket holds now; the rest stays owed.';
grant execute on function rate_limiter_admin.repay_borrowing(uuid, uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/borrowing/repay_borrowing.sql
--! Included rate_limiter_admin/borrowing/write_off_borrowing.sql
create or replace function rate_limiter_admin.write_off_borrowing(
  owner_id uuid,
  borrowing_id uuid,
  reason text
)
returns rate_limiter.token_borrowing
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  borrowing rate_limiter.token_borrowing;
begin
  perform rate_limiter_internal.require_bucket_owner(owner_id, 'token', 'adjust');
  perform rate_limiter_internal.require_reason(reason);
  perform rate_limiter_internal.cancel_borrowing_at(
    clock_timestamp(), owner_id, borrowing_id, reason
  );

  select b.* into borrowing
  from rate_limiter.token_borrowing as b
  where b.shard_key = rate_limiter_internal.app_shard_key(write_off_borrowing.owner_id)
    and b.owner_id = write_off_borrowing.owner_id
    and b.borrowing_id = write_off_borrowing.borrowing_id;

  -- No lender gives these tokens: they would be a larger quota by another name.
  if borrowing.lender_owner_id is null then
    perform rate_limiter_internal.require_system_admin('token', 'adjust');
  end if;

  perform rate_limiter_internal.write_bucket_audit(
    'write_off', 'token_borrowing', borrowing_id, owner_id,
    jsonb_build_object(
      'owed', (borrowing.repayment_tokens - borrowing.repaid_tokens)::text, 'reason', reason
    )
  );
  return borrowing;
end;
$$;

comment on function rate_limiter_admin.write_off_borrowing(uuid, uuid, text) is
  E'@resultFieldName borrowing\n'
  'Forgives what is still owed of a borrowing; no token moves. Only a system administrator '
  'forgives what was borrowed without a lender.';
grant execute on function rate_limiter_admin.write_off_borrowing(uuid, uuid, text)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/borrowing/write_off_borrowing.sql
--! Included rate_limiter_internal/borrowing/check_auto_borrow.sql
create or replace function rate_limiter_internal.check_auto_borrow()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if rate_limiter_internal.current_user_id() is not null then
    perform rate_limiter_internal.require_system_admin('application', 'update');
  end if;
  return new;
end;
$$;

comment on function rate_limiter_internal.check_auto_borrow() is
  'Trigger: only a system administrator lets gateways borrow for an application, or stops it '
  '(QS403).';
--! EndIncluded rate_limiter_internal/borrowing/check_auto_borrow.sql
--! Included rate_limiter/borrowing/token_borrowing.policies.sql
-- Written by functions alone. A cluster's rows add up what all tenants do: only system
-- administrators see them.
alter table rate_limiter.token_borrowing enable row level security;

drop policy if exists readable on rate_limiter.token_borrowing;
create policy readable on rate_limiter.token_borrowing
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or owner_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.token_borrowing;
create policy monitored on rate_limiter.token_borrowing
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/borrowing/token_borrowing.policies.sql
--! Included rate_limiter/borrowing/token_borrowing.grants.sql
revoke all on rate_limiter.token_borrowing
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.token_borrowing to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/borrowing/token_borrowing.grants.sql

-- The record of demand
--! Included rate_limiter_internal/demand/ledger_demand.sql
create or replace function rate_limiter_internal.ledger_demand(
  shard_key integer,
  app_id uuid,
  bucket_type rate_limiter.bucket_type,
  after_seq bigint,
  to_seq bigint,
  from_time timestamptz,
  to_time timestamptz
)
returns table (
  minute timestamptz,
  operation text,
  size_class smallint,
  operations bigint,
  tokens numeric,
  bytes numeric,
  peak_operations bigint,
  first_operations bigint
)
language sql
stable
parallel safe
as $$
  with entries as materialized (
    select
      t.created_at, t.reference_id, -t.tokens_change as amount,
      rate_limiter_internal.operations_of(t.metadata) as operations,
      row_number() over (partition by t.created_at, t.reference_id order by t.seq) as place
    from rate_limiter.token_transactions as t
    where t.shard_key = ledger_demand.shard_key
      and t.owner_id = ledger_demand.app_id
      and t.bucket_type = ledger_demand.bucket_type
      and t.mode = 'enforce'
      and t.transaction_type = 'consume'
      and t.created_at >= from_time
      and t.created_at < to_time
      and t.seq > after_seq
      and t.seq <= to_seq
  ),
  -- Rows of one decision share its moment, and are written together.
  other_bucket as materialized (
    select
      t.created_at, t.reference_id, -t.tokens_change as amount,
      row_number() over (partition by t.created_at, t.reference_id order by t.seq) as place
    from rate_limiter.token_transactions as t
    where t.shard_key = ledger_demand.shard_key
      and t.owner_id = ledger_demand.app_id
      and t.bucket_type = case ledger_demand.bucket_type
        when 'iops_l2' then 'bandwidth_l2'
        else 'iops_l2'
      end::rate_limiter.bucket_type
      and t.mode = 'enforce'
      and t.transaction_type = 'consume'
      and t.created_at >= (select min(e.created_at) from entries as e)
      and t.created_at <= (select max(e.created_at) from entries as e)
  ),
  decided as (
    select
      e.created_at, e.operations, coalesce(c.operation, '') as operation,
      case ledger_demand.bucket_type when 'iops_l2' then e.amount else 0 end as tokens,
      case ledger_demand.bucket_type when 'iops_l2' then coalesce(o.amount, 0) else e.amount end
        as bytes
    from entries as e
    left join other_bucket as o
      on o.created_at = e.created_at
      and o.reference_id is not distinct from e.reference_id
      and o.place = e.place
    left join rate_limiter.charges as c
      on c.shard_key = ledger_demand.shard_key
      and c.app_id = ledger_demand.app_id
      and c.reference_id = e.reference_id
    -- What both buckets paid for counts with the tokens.
    where ledger_demand.bucket_type = 'iops_l2' or o.amount is null
  ),
  seconds as (
    select
      date_trunc('second', d.created_at) as second, d.operation,
      rate_limiter_internal.size_class(d.bytes / d.operations) as size_class,
      sum(d.operations) as operations, sum(d.tokens) as tokens, sum(d.bytes) as bytes
    from decided as d
    group by 1, 2, 3
  )
  select
    date_trunc('minute', s.second, 'UTC'), s.operation, s.size_class,
    least(sum(s.operations), 9e17)::bigint, sum(s.tokens), sum(s.bytes),
    least(max(s.operations), 9e17)::bigint,
    least((array_agg(s.operations order by s.second))[1], 9e17)::bigint
  from seconds as s
  group by 1, 2, 3;
$$;

comment on function rate_limiter_internal.ledger_demand(
  integer, uuid, rate_limiter.bucket_type, bigint, bigint, timestamptz, timestamptz
) is
  'What some ledger rows of a bucket say of what was asked and admitted in the database, by '
  'minute, operation (empty where it had no reference) and size class (of a batch, that of its '
  'mean). Rows of bandwidth count where no tokens were taken. first_operations: those of the '
  'first second of each, which may have had others before.';
--! EndIncluded rate_limiter_internal/demand/ledger_demand.sql
--! Included rate_limiter_internal/demand/demand_of.sql
create or replace function rate_limiter_internal.demand_of(
  shard_key integer,
  app_id uuid,
  since timestamptz,
  until timestamptz
)
returns table (
  minute timestamptz,
  operation text,
  size_class smallint,
  is_denied boolean,
  operations numeric,
  tokens numeric,
  bytes numeric,
  peak_operations numeric
)
language sql
stable
parallel safe
as $$
  with recorded as (
    select
      d.minute, d.operation::text as operation, d.size_class, d.is_denied,
      d.operations, d.tokens, d.bytes, d.peak_operations
    from rate_limiter_private.demand as d
    where d.shard_key = demand_of.shard_key
      and d.app_id = demand_of.app_id
      and d.minute >= since
      and d.minute < until
    union all
    -- What the job has yet to count.
    select
      l.minute, l.operation, l.size_class, false,
      l.operations, l.tokens, l.bytes, l.peak_operations
    from rate_limiter.token_buckets as b
    left join rate_limiter_private.usage_progress as p
      on p.shard_key = b.shard_key and p.app_id = b.owner_id and p.bucket_type = b.bucket_type
    cross join lateral rate_limiter_internal.ledger_demand(
      b.shard_key, b.owner_id, b.bucket_type, coalesce(p.seq, 0), b.ledger_seq,
      greatest(
        since, case when b.updated_at >= p.last_at then p.last_at - interval '1 minute' end
      ),
      until
    ) as l
    where b.shard_key = demand_of.shard_key
      and b.owner_id = demand_of.app_id
      and b.mode = 'enforce'
      and b.bucket_type in ('iops_l2', 'bandwidth_l2')
      and b.ledger_seq > coalesce(p.seq, 0)
  ),
  -- Those of callers are among them.
  denied as (
    select
      d.minute, sum(d.operations) as operations, sum(d.tokens) as tokens, sum(d.bytes) as bytes
    from rate_limiter.v_denial_counts as d
    where d.shard_key = demand_of.shard_key
      and d.app_id = demand_of.app_id
      and d.minute >= since
      and d.minute < until
    group by d.minute
  ),
  by_callers as (
    select
      r.minute, sum(r.operations) as operations, sum(r.tokens) as tokens, sum(r.bytes) as bytes
    from recorded as r
    where r.is_denied
    group by r.minute
  ),
  by_database as (
    select
      d.minute, d.operations - coalesce(c.operations, 0) as operations,
      greatest(d.tokens - coalesce(c.tokens, 0), 0) as tokens,
      greatest(d.bytes - coalesce(c.bytes, 0), 0) as bytes
    from denied as d
    left join by_callers as c using (minute)
    where d.operations > coalesce(c.operations, 0)
  )
  select
    r.minute, r.operation, r.size_class, r.is_denied, sum(r.operations), sum(r.tokens),
    sum(r.bytes), sum(r.peak_operations)
  from recorded as r
  group by r.minute, r.operation, r.size_class, r.is_denied
  union all
  select
    d.minute, '', rate_limiter_internal.size_class(d.bytes / d.operations), true, d.operations,
    d.tokens, d.bytes, d.operations
  from by_database as d;
$$;

comment on function rate_limiter_internal.demand_of(
  integer, uuid, timestamptz, timestamptz
) is
  'What an application asked in a span of whole minutes, admitted and denied, as of now: counted '
  'by callers, by the ledger, and denied in the database (operation empty, at their mean size, '
  'all in one second at worst).';
--! EndIncluded rate_limiter_internal/demand/demand_of.sql

-- Shadow
--! Included rate_limiter_internal/shadow/refill_buckets.sql
create or replace function rate_limiter_internal.refill_buckets(
  at timestamptz,
  buckets rate_limiter.token_buckets[]
)
returns rate_limiter.token_buckets[]
language plpgsql
immutable
parallel safe
as $$
begin
  for i in 1 .. cardinality(buckets) loop
    buckets[i].current_tokens := buckets[i].current_tokens + rate_limiter_internal.refill(
      buckets[i].current_tokens, buckets[i].capacity, buckets[i].refill_rate,
      buckets[i].calculation_method, buckets[i].burst_duration_seconds,
      buckets[i].prorated_since, buckets[i].last_refill_at, at
    );
    buckets[i].last_refill_at := greatest(buckets[i].last_refill_at, at);
  end loop;
  return buckets;
end;
$$;

comment on function rate_limiter_internal.refill_buckets(
  timestamptz, rate_limiter.token_buckets[]
) is 'Buckets refilled to a moment under the terms that they have.';
--! EndIncluded rate_limiter_internal/shadow/refill_buckets.sql
--! Included rate_limiter_internal/shadow/quota_buckets.sql
create or replace function rate_limiter_internal.quota_buckets(
  iops jsonb,
  bandwidth jsonb,
  at timestamptz
)
returns rate_limiter.token_buckets[]
language sql
stable
parallel safe
as $$
  with terms as (
    select
      'iops_l2'::rate_limiter.bucket_type as bucket_type,
      q.calculation_method,
      rate_limiter_internal.quota_capacity(
        q.calculation_method, q.iops_limit, q.iops_burst, q.burst_duration_seconds, q.refill_rate
      ) as capacity,
      q.refill_rate::bigint as refill_rate,
      q.burst_duration_seconds,
      false as allow_oversize
    from jsonb_populate_record(null::rate_limiter.iops_quotas, nullif(iops, 'null')) as q
    where q.iops_limit is not null
    union all
    select
      'bandwidth_l2',
      'token_bucket',
      rate_limiter_internal.quota_capacity(
        'token_bucket', q.bandwidth_limit_bps, q.bandwidth_burst_bps, q.burst_duration_seconds,
        q.refill_rate_bps
      ),
      q.refill_rate_bps,
      q.burst_duration_seconds,
      q.allow_oversize
    from jsonb_populate_record(
      null::rate_limiter.bandwidth_quotas, nullif(bandwidth, 'null')
    ) as q
    where q.bandwidth_limit_bps is not null
  )
  select coalesce(
    array_agg(
      jsonb_populate_record(
        null::rate_limiter.token_buckets,
        to_jsonb(t) || jsonb_build_object(
          'mode', 'enforce', 'last_refill_at', at, 'current_tokens', t.capacity, 'min_reserve', 0
        )
      )
      order by t.bucket_type
    ),
    '{}'
  )
  from terms as t;
$$;

comment on function rate_limiter_internal.quota_buckets(jsonb, jsonb, timestamptz) is
  'The buckets that limits of an application, as quota_as_json() shows them, would make, full at a '
  'moment: for trying them out on what happened.';
--! EndIncluded rate_limiter_internal/shadow/quota_buckets.sql
--! Included rate_limiter_internal/shadow/take_available.sql
create or replace function rate_limiter_internal.take_available(
  inout buckets rate_limiter.token_buckets[],
  inout tokens numeric,
  inout bytes numeric
)
language plpgsql
immutable
parallel safe
as $$
declare
  taken numeric;
begin
  for i in 1 .. cardinality(buckets) loop
    if rate_limiter_internal.is_bandwidth(buckets[i].bucket_type) then
      taken := least(bytes, greatest(buckets[i].current_tokens, 0));
      bytes := bytes - taken;
    else
      taken := least(tokens, greatest(buckets[i].current_tokens, 0));
      tokens := tokens - taken;
    end if;
    buckets[i].current_tokens := buckets[i].current_tokens - taken;
  end loop;
  -- What no bucket limits is not short.
  if buckets[1].bucket_type is distinct from 'iops_l2' then
    tokens := 0;
  end if;
  if buckets[cardinality(buckets)].bucket_type is distinct from 'bandwidth_l2' then
    bytes := 0;
  end if;
end;
$$;

comment on function rate_limiter_internal.take_available(
  rate_limiter.token_buckets[], numeric, numeric
) is
  'Takes as much of tokens and bytes out of an application''s buckets as they hold; answers the '
  'buckets and what they were short of.';
--! EndIncluded rate_limiter_internal/shadow/take_available.sql
--! Included rate_limiter_internal/shadow/asked_of_quota.sql
create or replace function rate_limiter_internal.asked_of_quota(
  app_id uuid,
  since timestamptz,
  until timestamptz,
  max_operations integer
)
returns table (
  moment timestamptz,
  kind text,
  operations bigint,
  tokens numeric,
  bytes numeric
)
language plpgsql
stable
parallel safe
as $$
declare
  shard constant integer := rate_limiter_internal.app_shard_key(app_id);
  -- A lease that is taken to be spent evenly is spent in so many parts.
  parts constant integer := 10;
  horizon timestamptz;
begin
  -- Where there is more than is decided again, only the beginning is read. The keys are in order.
  select min(b.ends_at)
  into horizon
  from unnest('{iops_l2,bandwidth_l2}'::rate_limiter.bucket_type[]) as kinds (bucket_type)
  cross join lateral (
    select t.created_at
    from rate_limiter.token_transactions as t
    where t.shard_key = shard
      and t.owner_id = asked_of_quota.app_id
      and t.bucket_type = kinds.bucket_type
      and t.mode = 'enforce'
      and t.created_at >= since
      and t.created_at < until
      and t.transaction_type in ('consume', 'lease', 'owed')
    order by t.created_at
    offset max_operations
    limit 1
  ) as b (ends_at);

  return query
  with entries as (
    select
      t.created_at,
      t.transaction_type,
      t.bucket_type,
      t.reference_id,
      t.metadata,
      -t.tokens_change as amount,
      row_number() over (
        partition by t.bucket_type, t.transaction_type, t.created_at, t.reference_id
        order by t.seq
      ) as place
    from rate_limiter.token_transactions as t
    where t.shard_key = shard
      and t.owner_id = asked_of_quota.app_id
      and t.bucket_type in ('iops_l2', 'bandwidth_l2')
      and t.mode = 'enforce'
      and t.transaction_type in ('consume', 'lease', 'owed')
      and t.created_at >= since
      and t.created_at < until
      and (horizon is null or t.created_at <= horizon)
  ),
  -- Rows of one decision share its moment.
  decided as (
    select
      e.created_at,
      e.transaction_type,
      max(rate_limiter_internal.operations_of(e.metadata)) as operations,
      coalesce(sum(e.amount) filter (where e.bucket_type = 'iops_l2'), 0) as tokens,
      coalesce(sum(e.amount) filter (where e.bucket_type = 'bandwidth_l2'), 0) as bytes
    from entries as e
    where e.transaction_type in ('consume', 'owed')
    group by e.created_at, e.transaction_type, e.reference_id, e.place
  ),
  granted as (
    select
      e.metadata ->> 'lease' as lease_id,
      min(e.created_at) as granted_at,
      coalesce(sum(e.amount) filter (where e.bucket_type = 'iops_l2'), 0) as tokens,
      coalesce(sum(e.amount) filter (where e.bucket_type = 'bandwidth_l2'), 0) as bytes
    from entries as e
    where e.transaction_type = 'lease'
    group by 1
  ),
  -- A lease lasts an hour at most. What it owed is in here too.
  returned as (
    select
      t.metadata ->> 'lease' as lease_id,
      max(t.created_at) as settled_at,
      coalesce(sum(t.tokens_change) filter (where t.bucket_type = 'iops_l2'), 0) as tokens,
      coalesce(sum(t.tokens_change) filter (where t.bucket_type = 'bandwidth_l2'), 0) as bytes
    from rate_limiter.token_transactions as t
    where t.shard_key = shard
      and t.owner_id = asked_of_quota.app_id
      and t.bucket_type in ('iops_l2', 'bandwidth_l2')
      and t.mode = 'enforce'
      and t.transaction_type = 'settle'
      and t.created_at >= since
      and t.created_at < coalesce(horizon, until) + interval '61 minutes'
      and t.metadata ? 'lease'
    group by 1
  ),
  -- What was spent: as the lease itself says, where that is not gone yet and nothing was owed. Of
  -- what came back the ledger has only what a bucket had room for.
  leased as (
    select
      g.granted_at,
      greatest(
        coalesce(l.settled_at, r.settled_at, l.expires_at, g.granted_at + interval '10 seconds')
          - g.granted_at,
        interval '1 microsecond'
      ) as life,
      case when coalesce(r.tokens, 0) >= 0 and l.spent_tokens is not null then l.spent_tokens
        else g.tokens - coalesce(r.tokens, 0) end as tokens,
      case when coalesce(r.bytes, 0) >= 0 and l.spent_bytes is not null then l.spent_bytes
        else g.bytes - coalesce(r.bytes, 0) end as bytes
    from granted as g
    left join returned as r on r.lease_id = g.lease_id
    left join rate_limiter.token_leases as l
      on l.shard_key = shard
      and l.app_id = asked_of_quota.app_id
      and l.lease_id::text = g.lease_id
  )
  select d.created_at, d.transaction_type::text, d.operations, d.tokens, d.bytes
  from decided as d
  union all
  select l.granted_at, 'lease', 1, l.tokens, l.bytes
  from leased as l
  union all
  select
    l.granted_at + l.life * ((part - 0.5) / parts), 'part', 0,
    round(l.tokens / parts, 6), round(l.bytes / parts, 6)
  from leased as l
  cross join generate_series(1, parts) as part
  order by 1, 2;
end;
$$;

comment on function rate_limiter_internal.asked_of_quota(
  uuid, timestamptz, timestamptz, integer
) is
  'What an application asked and was admitted in a span, in order, as far as it is on record. '
  'kind: consume (so many operations, which cost so much together), owed (used beyond leases), '
  'lease (what was spent of a lease, at its grant), part (a tenth of the same, spread over the '
  'life of the lease). Reads no further than max_operations need.';
--! EndIncluded rate_limiter_internal/shadow/asked_of_quota.sql
--! Included rate_limiter_internal/shadow/judge_entry.sql
create or replace function rate_limiter_internal.judge_entry(
  at timestamptz,
  kind text,
  operations bigint,
  tokens numeric,
  bytes numeric,
  inout buckets rate_limiter.token_buckets[],
  out throttled bigint,
  out short_tokens numeric,
  out short_bytes numeric,
  out reasons jsonb,
  out wait_ms bigint
)
language plpgsql
stable
parallel safe
as $$
declare
  -- The mean of a batch; what division leaves is the last operation's.
  mean_tokens constant numeric := trunc(tokens / greatest(operations, 1), 6);
  mean_bytes constant numeric := trunc(bytes / greatest(operations, 1));
  costs numeric[];
  sizes bigint[];
  taken record;
  batch record;
begin
  throttled := 0;
  short_tokens := 0;
  short_bytes := 0;
  if cardinality(buckets) = 0 then
    return;
  end if;

  if kind <> 'consume' then
    taken := rate_limiter_internal.take_available(buckets, tokens, bytes);
    buckets := taken.buckets;
    short_tokens := taken.tokens;
    short_bytes := taken.bytes;
    return;
  end if;

  costs := array_fill(mean_tokens, array[operations::integer]);
  costs[operations] := tokens - mean_tokens * (operations - 1);
  -- As many bytes as an operation may have.
  sizes := array_fill(
    least(mean_bytes, 9223372036854775807)::bigint, array[operations::integer]
  );
  sizes[operations] := least(bytes - mean_bytes * (operations - 1), 9223372036854775807)::bigint;
  batch := rate_limiter_internal.decide_batch(at, costs, sizes, null, buckets);
  buckets := batch.buckets;

  select
    count(*), coalesce(sum(d.cost), 0), coalesce(sum(s.size), 0), max(d.retry_after_ms)
  into throttled, short_tokens, short_bytes, wait_ms
  from rows from (unnest(batch.decisions), unnest(sizes)) as d (
    allowed, reason, cost, remaining, remaining_bytes, retry_after_ms, delay_ms, size
  )
  cross join lateral (values (d.size)) as s (size)
  where not d.allowed;
  reasons := (
    select coalesce(jsonb_object_agg(r.reason, r.number), '{}')
    from (
      select d.reason, count(*) as number
      from unnest(batch.decisions) as d
      where not d.allowed
      group by d.reason
    ) as r
  );
end;
$$;

comment on function rate_limiter_internal.judge_entry(
  timestamptz, text, bigint, numeric, numeric, rate_limiter.token_buckets[]
) is
  'Judges an entry of asked_of_quota() by buckets as they stand at its moment. throttled: how '
  'many operations are denied. short_tokens, short_bytes: what those would have cost, or what '
  'the buckets could not give of what was leased. wait_ms: the longest wait.';
--! EndIncluded rate_limiter_internal/shadow/judge_entry.sql
--! Included rate_limiter_internal/shadow/try_quota.sql
create or replace function rate_limiter_internal.try_quota(
  app_id uuid,
  config_id uuid,
  since timestamptz,
  until timestamptz,
  max_operations integer,
  iops jsonb default null,
  bandwidth jsonb default null,
  out operations bigint,
  out unfolded_operations bigint,
  out throttled_operations bigint,
  out throttled_operations_max bigint,
  out throttled_tokens numeric,
  out throttled_tokens_max numeric,
  out throttled_bytes numeric,
  out throttled_bytes_max numeric,
  out throttled_by jsonb,
  out first_throttled_at timestamptz,
  out last_throttled_at timestamptz,
  out longest_wait_ms bigint,
  out leases bigint,
  out leased_tokens numeric,
  out leased_bytes numeric,
  out denied_operations numeric,
  out denied_tokens numeric,
  out denied_bytes numeric,
  out judged_until timestamptz,
  out notes text[]
)
language plpgsql
stable
parallel safe
as $$
declare
  quota constant jsonb := case when config_id is null
    then jsonb_build_object('iops', iops, 'bandwidth', bandwidth)
    else rate_limiter_internal.quota_as_json(config_id) end;
  -- Two runs: leases spent evenly over their lives, and all at once when they were granted.
  evenly rate_limiter.token_buckets[] := rate_limiter_internal.quota_buckets(
    quota -> 'iops', quota -> 'bandwidth', since
  );
  at_once rate_limiter.token_buckets[] := evenly;
  entry record;
  run record;
  has_tokens boolean := false;
  has_bytes boolean := false;
begin
  operations := 0;
  unfolded_operations := 0;
  throttled_operations := 0;
  throttled_operations_max := 0;
  throttled_tokens := 0;
  throttled_tokens_max := 0;
  throttled_bytes := 0;
  throttled_bytes_max := 0;
  throttled_by := '{}';
  longest_wait_ms := 0;
  leases := 0;
  leased_tokens := 0;
  leased_bytes := 0;
  judged_until := until;

  for entry in
    select a.*
    from rate_limiter_internal.asked_of_quota(
      try_quota.app_id, since, until, max_operations
    ) as a
  loop
    if operations + leases > 0 and operations + leases + entry.operations > max_operations then
      judged_until := entry.moment;
      exit;
    end if;
    has_tokens := has_tokens or entry.tokens > 0;
    has_bytes := has_bytes or entry.bytes > 0;

    if entry.kind <> 'lease' then
      evenly := rate_limiter_internal.refill_buckets(entry.moment, evenly);
      run := rate_limiter_internal.judge_entry(
        entry.moment, entry.kind, entry.operations, entry.tokens, entry.bytes, evenly
      );
      evenly := run.buckets;
      throttled_operations := throttled_operations + run.throttled;
      throttled_tokens := throttled_tokens + run.short_tokens;
      throttled_bytes := throttled_bytes + run.short_bytes;
      if run.throttled > 0 then
        throttled_by := (
          select jsonb_object_agg(k.reason, coalesce((throttled_by ->> k.reason)::bigint, 0)
            + coalesce((run.reasons ->> k.reason)::bigint, 0))
          from (
            select jsonb_object_keys(throttled_by || run.reasons)
          ) as k (reason)
        );
        first_throttled_at := coalesce(first_throttled_at, entry.moment);
        last_throttled_at := entry.moment;
        longest_wait_ms := greatest(longest_wait_ms, run.wait_ms);
      end if;
    end if;
    if entry.kind <> 'part' then
      at_once := rate_limiter_internal.refill_buckets(entry.moment, at_once);
      run := rate_limiter_internal.judge_entry(
        entry.moment, entry.kind, entry.operations, entry.tokens, entry.bytes, at_once
      );
      at_once := run.buckets;
      throttled_operations_max := throttled_operations_max + run.throttled;
      throttled_tokens_max := throttled_tokens_max + run.short_tokens;
      throttled_bytes_max := throttled_bytes_max + run.short_bytes;
    end if;

    if entry.kind = 'consume' then
      operations := operations + entry.operations;
      unfolded_operations := unfolded_operations
        + case when entry.operations > 1 then entry.operations else 0 end;
    elsif entry.kind <> 'part' then
      leases := leases + case entry.kind when 'lease' then 1 else 0 end;
      leased_tokens := leased_tokens + entry.tokens;
      leased_bytes := leased_bytes + entry.bytes;
    end if;
  end loop;

  throttled_operations_max := greatest(throttled_operations_max, throttled_operations);
  throttled_tokens_max := greatest(throttled_tokens_max, throttled_tokens);
  throttled_bytes_max := greatest(throttled_bytes_max, throttled_bytes);

  select coalesce(sum(d.operations), 0), coalesce(sum(d.tokens), 0), coalesce(sum(d.bytes), 0)
  into denied_operations, denied_tokens, denied_bytes
  from rate_limiter.v_denial_counts as d
  where d.shard_key = rate_limiter_internal.app_shard_key(try_quota.app_id)
    and d.app_id = try_quota.app_id
    and d.minute >= date_trunc('minute', since, 'UTC')
    and d.minute < judged_until;

  notes := array_remove(array[
    case when unfolded_operations > 0 then format(
      '%s operations of batches are judged at the mean of their batch.', unfolded_operations
    ) end,
    case when leased_tokens > 0 or leased_bytes > 0 then format(
      'What was spent of %s leases is not on record by operation: judged as spent evenly over '
      'their lives, and for the maxima all at once.', leases
    ) end,
    case when denied_operations > 0 then format(
      '%s operations were denied and are counted, not decided again.', denied_operations
    ) end,
    case when evenly[1].bucket_type = 'iops_l2' and not has_tokens and has_bytes then
      'No tokens of operations are on record: the application had no quota of operations.'
    end,
    case when evenly[cardinality(evenly)].bucket_type = 'bandwidth_l2' and has_tokens
      and not has_bytes
    then
      'No bytes are on record: the application had no quota of bandwidth, or moved none.'
    end,
    case when judged_until < until then
      'Only a part of the span is judged: go on from where it ended.'
    end
  ], null);
end;
$$;

comment on function rate_limiter_internal.try_quota(
  uuid, uuid, timestamptz, timestamptz, integer, jsonb, jsonb
) is
  'Decides again, under another quota of the same application or limits that are none yet, on '
  'what it asked and was admitted, as far as that is on record: at the same moments, from full '
  'buckets, by the same arithmetic as live decisions. The maxima take leases to be spent at once. '
  'judged_until is before until where there was more than max_operations. Changes nothing.';
--! EndIncluded rate_limiter_internal/shadow/try_quota.sql
--! Included rate_limiter_internal/shadow/try_candidate.sql
create or replace function rate_limiter_internal.try_candidate(
  app_id uuid,
  config_id uuid,
  since timestamptz,
  until timestamptz,
  max_operations integer,
  max_span interval,
  out operations bigint,
  out unfolded_operations bigint,
  out throttled_operations bigint,
  out throttled_operations_max bigint,
  out throttled_tokens numeric,
  out throttled_tokens_max numeric,
  out throttled_bytes numeric,
  out throttled_bytes_max numeric,
  out throttled_by jsonb,
  out first_throttled_at timestamptz,
  out last_throttled_at timestamptz,
  out longest_wait_ms bigint,
  out leases bigint,
  out leased_tokens numeric,
  out leased_bytes numeric,
  out denied_operations numeric,
  out denied_tokens numeric,
  out denied_bytes numeric,
  out recorded_minutes integer,
  out asked_operations numeric,
  out asked_bytes numeric,
  out throttled_asked_operations_least numeric,
  out throttled_asked_operations_most numeric,
  out throttled_asked_bytes_least numeric,
  out throttled_asked_bytes_most numeric,
  out asked_until timestamptz,
  out judged_until timestamptz,
  out notes text[],
  out problem text
)
language plpgsql
stable
parallel unsafe
as $$
declare
  quota constant jsonb := rate_limiter_internal.quota_as_json(config_id);
  -- Minutes that the span holds a part of.
  first_minute constant timestamptz := date_trunc('minute', since, 'UTC');
begin
  select t.*
  into operations, unfolded_operations, throttled_operations, throttled_operations_max,
    throttled_tokens, throttled_tokens_max, throttled_bytes, throttled_bytes_max,
    throttled_by, first_throttled_at, last_throttled_at, longest_wait_ms,
    leases, leased_tokens, leased_bytes, denied_operations, denied_tokens, denied_bytes,
    judged_until, notes
  from rate_limiter_internal.try_quota(app_id, config_id, since, until, max_operations) as t;

  asked_until := least(until, first_minute + max_span);
  select
    p.recorded_minutes, p.operations, p.bytes,
    p.throttled_operations_least, p.throttled_operations_most,
    p.throttled_bytes_least, p.throttled_bytes_most
  into recorded_minutes, asked_operations, asked_bytes,
    throttled_asked_operations_least, throttled_asked_operations_most,
    throttled_asked_bytes_least, throttled_asked_bytes_most
  from rate_limiter_internal.preview_quota(
    app_id, quota -> 'iops', quota -> 'bandwidth', first_minute, asked_until
  ) as p;

  notes := notes || array_remove(array[
    case
      when leases = 0 and denied_operations = 0 then null
      when recorded_minutes = 0 then
        'Nothing is in the record of demand: operations of leases and denied ones are not judged.'
      else
        'Operations of leases and denied ones are judged by the record of demand, which has totals '
        'by minute: between bounds.'
    end,
    case when recorded_minutes > 0 and asked_until < until then
      'The record of demand is judged for a part of the span: go on from where that ended.'
    end
  ], null);
exception
  when data_exception or integrity_constraint_violation or program_limit_exceeded
    or raise_exception
  then
    problem := sqlerrm;
end;
$$;

comment on function rate_limiter_internal.try_candidate(
  uuid, uuid, timestamptz, timestamptz, integer, interval
) is
  'try_quota() of one candidate among many, and bounds of what it would have throttled of all that '
  'was asked, by the record of demand (preview_quota()), up to max_span. What fails is told in '
  'problem.';
--! EndIncluded rate_limiter_internal/shadow/try_candidate.sql
--! Included rate_limiter_admin/shadow/try_quota.sql
create or replace function rate_limiter_admin.try_quota(
  since timestamptz,
  until timestamptz,
  config_id uuid default null,
  app_id uuid default null,
  iops rate_limiter_admin.iops_limits default null,
  bandwidth rate_limiter_admin.bandwidth_limits default null,
  out operations bigint,
  out unfolded_operations bigint,
  out throttled_operations bigint,
  out throttled_operations_max bigint,
  out throttled_tokens numeric,
  out throttled_tokens_max numeric,
  out throttled_bytes numeric,
  out throttled_bytes_max numeric,
  out throttled_by jsonb,
  out first_throttled_at timestamptz,
  out last_throttled_at timestamptz,
  out longest_wait_ms bigint,
  out leases bigint,
  out leased_tokens numeric,
  out leased_bytes numeric,
  out denied_operations numeric,
  out denied_tokens numeric,
  out denied_bytes numeric,
  out judged_until timestamptz,
  out notes text[]
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  iops_terms constant jsonb := rate_limiter_internal.complete_iops_limits(iops);
  bandwidth_terms constant jsonb := rate_limiter_internal.complete_bandwidth_limits(bandwidth);
  tried_app_id uuid := app_id;
begin
  perform rate_limiter_internal.require_permission('quota', 'read');
  perform rate_limiter_internal.require_permission('metrics', 'read');
  perform rate_limiter_internal.require_span(since, until, interval '31 days');

  if num_nonnulls(config_id, app_id) <> 1 then
    raise exception using
      errcode = 'QS422',
      message = 'nothing to try out',
      hint = 'Name a quota, or an application and the limits to try.';
  end if;

  if config_id is not null then
    tried_app_id := (rate_limiter_internal.require_quota(config_id)).app_id;
    if tried_app_id is null then
      raise exception using
        errcode = 'QS422',
        message = 'quota limits a cluster',
        detail = format('quota: %s', config_id),
        hint = 'Only an application''s quota can be tried out on its history.';
    end if;
  else
    perform rate_limiter_internal.require_application(app_id, 'quota', 'read');
    perform rate_limiter_internal.require_limits(iops_terms, bandwidth_terms, false, false);
  end if;

  select t.*
  into operations, unfolded_operations, throttled_operations, throttled_operations_max,
    throttled_tokens, throttled_tokens_max, throttled_bytes, throttled_bytes_max,
    throttled_by, first_throttled_at, last_throttled_at, longest_wait_ms,
    leases, leased_tokens, leased_bytes, denied_operations, denied_tokens, denied_bytes,
    judged_until, notes
  from rate_limiter_internal.try_quota(
    tried_app_id, config_id, since, until, 20000, iops_terms, bandwidth_terms
  ) as t;
end;
$$;

comment on function rate_limiter_admin.try_quota(
  timestamptz, timestamptz, uuid, uuid, rate_limiter_admin.iops_limits,
  rate_limiter_admin.bandwidth_limits
) is
  'What a quota, or limits that are none yet (a candidate, with the application that they are '
  'for), would have throttled of what the application asked and was admitted in a span of at most '
  '31 days: decided again at the same moments from full buckets. A batch is unfolded into its '
  'operations, each at the mean of the batch (unfoldedOperations). What was spent of leases is '
  'not on record by operation: the throttled amounts take it to be spent evenly over a lease''s '
  'life, the maxima all at once. throttledOperations and throttledBy are about operations that '
  'were decided one by one. denied… counts what was denied then, which is not decided again. notes '
  'says which of this applies. Stops after 20,000 operations: go on from judgedUntil.';
grant execute on function rate_limiter_admin.try_quota(
  timestamptz, timestamptz, uuid, uuid, rate_limiter_admin.iops_limits,
  rate_limiter_admin.bandwidth_limits
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/shadow/try_quota.sql
--! Included rate_limiter_admin/shadow/shadow_report.sql
create or replace function rate_limiter_admin.shadow_report(
  since timestamptz,
  until timestamptz,
  skip integer default 0
)
returns table (
  app_id uuid,
  app_name text,
  config_id uuid,
  operations bigint,
  unfolded_operations bigint,
  throttled_operations bigint,
  throttled_operations_max bigint,
  throttled_tokens numeric,
  throttled_tokens_max numeric,
  throttled_bytes numeric,
  throttled_bytes_max numeric,
  throttled_by jsonb,
  first_throttled_at timestamptz,
  last_throttled_at timestamptz,
  longest_wait_ms bigint,
  leases bigint,
  leased_tokens numeric,
  leased_bytes numeric,
  denied_operations numeric,
  denied_tokens numeric,
  denied_bytes numeric,
  recorded_minutes integer,
  asked_operations numeric,
  asked_bytes numeric,
  throttled_asked_operations_least numeric,
  throttled_asked_operations_most numeric,
  throttled_asked_bytes_least numeric,
  throttled_asked_bytes_most numeric,
  asked_until timestamptz,
  judged_until timestamptz,
  notes text[],
  problem text,
  candidates bigint
)
language plpgsql
stable
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  everywhere constant boolean := rate_limiter_internal.is_system_admin();
  own_tenant_id constant uuid := rate_limiter_internal.current_tenant_id();
begin
  perform rate_limiter_internal.require_permission('quota', 'read');
  perform rate_limiter_internal.require_permission('metrics', 'read');
  perform rate_limiter_internal.require_span(since, until, interval '31 days');

  return query
  with candidates as (
    select a.app_id, a.name, c.config_id, count(*) over () as total
    from rate_limiter.quota_configs as c
    join rate_limiter.applications as a on a.app_id = c.app_id
    where c.mode = 'shadow'
      and c.is_active
      and (c.valid_to is null or c.valid_to > clock_timestamp())
      and (everywhere or a.tenant_id = own_tenant_id)
    order by a.name, c.valid_from, c.config_id
    limit 100
    offset greatest(shadow_report.skip, 0)
  )
  select
    c.app_id, c.name::text, c.config_id,
    t.operations, t.unfolded_operations, t.throttled_operations,
    t.throttled_operations_max, t.throttled_tokens, t.throttled_tokens_max,
    t.throttled_bytes, t.throttled_bytes_max, t.throttled_by,
    t.first_throttled_at, t.last_throttled_at, t.longest_wait_ms,
    t.leases, t.leased_tokens, t.leased_bytes, t.denied_operations,
    t.denied_tokens, t.denied_bytes, t.recorded_minutes, t.asked_operations, t.asked_bytes,
    t.throttled_asked_operations_least, t.throttled_asked_operations_most,
    t.throttled_asked_bytes_least, t.throttled_asked_bytes_most, t.asked_until,
    t.judged_until, t.notes, t.problem, c.total
  from candidates as c
  cross join lateral rate_limiter_internal.try_candidate(
    c.app_id, c.config_id, since, until, (20000 / least(c.total, 100))::integer,
    interval '1 minute' * (2880 / least(c.total, 100))
  ) as t
  order by t.throttled_operations desc nulls last, c.name, c.config_id;
end;
$$;

comment on function rate_limiter_admin.shadow_report(timestamptz, timestamptz, integer) is
  E'@behavior -connection +list\n@listSuffix omit\n'
  'Who would have been throttled: every candidate quota (mode SHADOW) of your tenant, tried out '
  'as tryQuota does on what its application asked and was admitted in a span of at most 31 days. '
  '20,000 operations in all are decided again: where judgedUntil falls short, ask tryQuota to go '
  'on. What was spent of leases is judged by operation as previewQuota does, by the record of '
  'demand, for 2,880 minutes in all (up to askedUntil): of all that was asked, admitted or '
  'denied (asked…), between throttledAsked…Least and throttledAsked…Most. recordedMinutes is 0 '
  'where nothing is on record. problem says why a candidate could not be judged; the others are. '
  'The answer has 100 of the candidates, by name: for the next ones skip those.';
grant execute on function rate_limiter_admin.shadow_report(timestamptz, timestamptz, integer)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/shadow/shadow_report.sql

-- Caller config
--! Included rate_limiter_internal/caller_config/limits_in_force_at.sql
create or replace function rate_limiter_internal.limits_in_force_at(
  at timestamptz,
  app_id uuid
)
returns jsonb
language sql
stable
parallel safe
as $$
  select jsonb_build_object(
    'cluster_id', admission.cluster_id,
    'changes_in_ms', trunc(extract(epoch from (
      min(terms.quota_valid_until) filter (where isfinite(terms.quota_valid_until)) - at
    )) * 1000),
    -- Text: a capacity can have more digits than a double.
    'limits', coalesce(
      jsonb_agg(
        jsonb_build_object(
          'bucket_type', b.bucket_type,
          'mode', b.mode,
          'method', terms.calculation_method,
          'capacity', terms.capacity::text,
          'refill_rate', terms.refill_rate::text,
          'window_seconds', terms.burst_duration_seconds
        ) || case when reserved.by_others > 0
          then jsonb_build_object('reserved_by_others', reserved.by_others::text) else '{}'
        end
        order by b.bucket_type, b.mode
      ) filter (where terms.capacity is not null),
      '[]'
    )
  )
  from rate_limiter_internal.app_shard_key(limits_in_force_at.app_id) as shard
  cross join lateral rate_limiter_internal.admission_of(
    shard, clock_timestamp(), limits_in_force_at.app_id
  ) as admission
  left join rate_limiter.token_buckets as b
    on b.shard_key = shard
    and b.owner_id in (limits_in_force_at.app_id, admission.cluster_id)
    and rate_limiter_internal.lock_rank(b.bucket_type) < 3
  left join lateral rate_limiter_internal.quota_snapshot_at(
    b.shard_key, at, b.owner_id, b.bucket_type, b.mode
  ) as terms on b.owner_id is not null
  left join lateral (
    select sum(
      case when rate_limiter_internal.is_bandwidth(b.bucket_type)
        then r.reserved_bps else r.reserved_iops
      end
    ) as by_others
    from rate_limiter.reservations as r
    join rate_limiter.applications as a using (app_id)
    where r.cluster_id = b.owner_id
      and r.app_id <> limits_in_force_at.app_id
      and a.is_active
  ) as reserved on b.owner_id is not null
  group by admission.cluster_id;
$$;

comment on function rate_limiter_internal.limits_in_force_at(timestamptz, uuid) is
  'limits_in_force() at a moment of the caller''s choice: for tests.';
--! EndIncluded rate_limiter_internal/caller_config/limits_in_force_at.sql
--! Included rate_limiter/caller_config/limits_in_force.sql
create or replace function rate_limiter.limits_in_force(
  app_id uuid
)
returns jsonb
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return rate_limiter_internal.limits_in_force_at(clock_timestamp(), app_id);
end;
$$;

comment on function rate_limiter.limits_in_force(uuid) is
  'What limits an application now, for those who spend leases: {"cluster_id", "changes_in_ms", '
  '"limits": [{"bucket_type", "mode", "method", "capacity", "refill_rate", "window_seconds", '
  '"reserved_by_others"}]}. reserved_by_others: of a cluster''s rate, absent for none. '
  'changes_in_ms: until the next change that is known, null for none. Raises QS404 for an '
  'unknown application, QS403 for an inactive one or an inactive tenant.';
grant execute on function rate_limiter.limits_in_force(uuid)
  to rate_limiter_app;
--! EndIncluded rate_limiter/caller_config/limits_in_force.sql
--! Included rate_limiter_internal/caller_config/application_config_at.sql
create or replace function rate_limiter_internal.application_config_at(
  at timestamptz,
  api_key text,
  app_id uuid
)
returns jsonb
language plpgsql
stable
parallel unsafe
as $$
declare
  valid_until timestamptz;
  code text;
  reason text;
  detail text;
  hint text;
begin
  if api_key is not null then
    app_id := (rate_limiter_internal.application_of_key_at(at, api_key)).app_id;
    select least(k.expires_at, k.revoked_at)
    into valid_until
    from rate_limiter_private.api_keys as k
    where k.key_hash = sha256(convert_to(api_key, 'UTF8'));
  end if;

  return jsonb_build_object(
    'app_id', app_id,
    'tenant_id', (
      select a.tenant_id
      from rate_limiter.applications as a
      where a.app_id = application_config_at.app_id
    ),
    'now_us', trunc(extract(epoch from at) * 1000000)::text,
    'key_valid_ms', trunc(extract(epoch from (valid_until - at)) * 1000),
    'limits', rate_limiter_internal.limits_in_force_at(at, app_id),
    'cost_rules', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'operation', o.name,
            'c_base', coalesce(r.c_base_override, o.c_base)::text,
            'c_bw', coalesce(r.c_bw_override, o.c_bw)::text,
            'unit_quantum', o.unit_quantum::text,
            'is_active', o.is_active,
            'from_us', trunc(extract(epoch from r.valid_from) * 1000000)::text,
            'to_us', trunc(extract(epoch from r.valid_to) * 1000000)::text
          )
          order by o.name, r.valid_from
        ),
        '[]'
      )
      from rate_limiter.cost_rules as r
      join rate_limiter.operation_types as o on o.operation_id = r.operation_id
      where r.app_id = application_config_at.app_id
        and r.is_active
        and (r.valid_to is null or r.valid_to > at)
    )
  );
exception
  -- One application's error must not fail the others of the call.
  when sqlstate 'QS401' or sqlstate 'QS403' or sqlstate 'QS404' then
    get stacked diagnostics
      code = returned_sqlstate,
      reason = message_text,
      detail = pg_exception_detail,
      hint = pg_exception_hint;
    return jsonb_build_object(
      'error', jsonb_build_object('code', code, 'message', reason, 'detail', detail, 'hint', hint)
    );
end;
$$;

comment on function rate_limiter_internal.application_config_at(timestamptz, text, uuid) is
  'The config of one application, by key or by id, or the error that there is.';
--! EndIncluded rate_limiter_internal/caller_config/application_config_at.sql
--! Included rate_limiter/caller_config/application_configs.sql
create or replace function rate_limiter.application_configs(
  api_keys text[],
  app_ids uuid[]
)
returns setof jsonb
language plpgsql
stable
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if greatest(cardinality(api_keys), cardinality(app_ids)) > 1000 then
    raise exception using
      errcode = 'QS422',
      message = 'more than 1000 applications are asked for',
      detail = format(
        'applications: %s', greatest(cardinality(api_keys), cardinality(app_ids))
      ),
      hint = 'Ask for them in several calls.';
  end if;

  return query
  select rate_limiter_internal.application_config_at(clock_timestamp(), c.api_key, c.app_id)
  from unnest(api_keys, app_ids) with ordinality as c (api_key, app_id, place)
  order by c.place;
end;
$$;

comment on function rate_limiter.application_configs(text[], uuid[]) is
  'What those who spend leases cache of applications, in the order of the arguments. Each is '
  'named by its key, or by its id where the key is null: {"app_id", "tenant_id", "now_us", '
  '"key_valid_ms", "limits": as limits_in_force(), "cost_rules": those in force now or later}, or '
  '{"error": {"code", "message", "detail", "hint"}}. app_id, tenant_id and the cluster of limits '
  'are the owners that notices name. key_valid_ms: until the key ends, null for no end. Raises '
  'QS422 for more than 1000.';
grant execute on function rate_limiter.application_configs(text[], uuid[])
  to rate_limiter_app;
--! EndIncluded rate_limiter/caller_config/application_configs.sql
--! Included rate_limiter_internal/caller_config/notify_application.sql
create or replace function rate_limiter_internal.notify_application(app_id uuid)
returns void
language sql
volatile
parallel unsafe
as $$
  select pg_notify(
    'rate_limiter_changes', json_build_object('kind', 'application', 'owner_id', app_id)::text
  );
$$;

comment on function rate_limiter_internal.notify_application(uuid) is
  'Tells clients and gateways that what they hold copies of has changed for an application.';
--! EndIncluded rate_limiter_internal/caller_config/notify_application.sql
--! Included rate_limiter_internal/caller_config/notify_tenants.sql
create or replace function rate_limiter_internal.notify_tenants(tenant_ids uuid[])
returns void
language sql
volatile
parallel unsafe
as $$
  select pg_notify(
    'rate_limiter_changes', json_build_object('kind', 'tenant', 'owner_id', t.tenant_id)::text
  )
  from unnest(tenant_ids) as t (tenant_id);
$$;

comment on function rate_limiter_internal.notify_tenants(uuid[]) is
  'Tells clients that what they hold copies of has changed for all applications of these tenants: '
  'one notice each, however many applications they have.';
--! EndIncluded rate_limiter_internal/caller_config/notify_tenants.sql
--! Included rate_limiter_internal/caller_config/notify_change.sql
create or replace function rate_limiter_internal.notify_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  changed jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
  owner_id text := changed ->> tg_argv[1];
begin
  perform pg_notify(
    'rate_limiter_changes',
    json_build_object('kind', tg_argv[0], 'owner_id', owner_id)::text
  );
  return null;
end;
$$;

comment on function rate_limiter_internal.notify_change() is
  'Trigger: tells clients and gateways what they hold copies of has changed. Its arguments: the '
  'kind of the change, and the column that names its application or tenant (none: all). One '
  'transaction tells the same only once.';
--! EndIncluded rate_limiter_internal/caller_config/notify_change.sql
--! Included rate_limiter_internal/caller_config/notify_quota_change.sql
create or replace function rate_limiter_internal.notify_quota_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- No row: the quota goes with its version, whose own trigger tells.
  perform pg_notify(
    'rate_limiter_changes',
    json_build_object('kind', 'quota', 'owner_id', c.owner_id)::text
  )
  from rate_limiter.quota_configs as c
  where c.config_id = case when tg_op = 'DELETE' then old.config_id else new.config_id end;
  return null;
end;
$$;

comment on function rate_limiter_internal.notify_quota_change() is
  'Trigger: tells clients and gateways that a quota of an application or a cluster has changed.';
--! EndIncluded rate_limiter_internal/caller_config/notify_quota_change.sql
--! Included rate_limiter_internal/caller_config/notify_tenant_change.sql
create or replace function rate_limiter_internal.notify_tenant_change()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.notify_tenants(array[new.tenant_id]);
  return null;
end;
$$;

comment on function rate_limiter_internal.notify_tenant_change() is
  'Trigger: tells clients and gateways that the applications of a tenant are served again, or '
  'no longer.';
--! EndIncluded rate_limiter_internal/caller_config/notify_tenant_change.sql
--! Included rate_limiter/caller_config/notify_change.triggers.sql
create or replace trigger notify_change
  after insert or update or delete on rate_limiter.quota_configs
  for each row execute function rate_limiter_internal.notify_change('quota', 'owner_id');
comment on trigger notify_change on rate_limiter.quota_configs is
  'Clients take other leases within a second.';

create or replace trigger notify_quota_change
  after insert or update or delete on rate_limiter.iops_quotas
  for each row execute function rate_limiter_internal.notify_quota_change();
comment on trigger notify_quota_change on rate_limiter.iops_quotas is
  'Clients take other leases within a second.';

create or replace trigger notify_quota_change
  after insert or update or delete on rate_limiter.bandwidth_quotas
  for each row execute function rate_limiter_internal.notify_quota_change();
comment on trigger notify_quota_change on rate_limiter.bandwidth_quotas is
  'Clients take other leases within a second.';

create or replace trigger notify_change
  after insert or update or delete on rate_limiter.cost_rules
  for each row execute function rate_limiter_internal.notify_change('cost_rule', 'app_id');
comment on trigger notify_change on rate_limiter.cost_rules is
  'Clients price the application''s operations anew.';

create or replace trigger notify_change
  after insert or update or delete on rate_limiter.operation_types
  for each row execute function rate_limiter_internal.notify_change('operation_type');
comment on trigger notify_change on rate_limiter.operation_types is
  'Clients read the costs of all applications again.';

create or replace trigger notify_change
  after update of cluster_id, auto_borrow, is_active or delete on rate_limiter.applications
  for each row execute function rate_limiter_internal.notify_change('application', 'app_id');
comment on trigger notify_change on rate_limiter.applications is
  'Clients hear that it is served no longer, by another cluster, or on other terms.';

create or replace trigger notify_tenant_change
  after update on rate_limiter.tenants
  for each row
  when (old.is_active <> new.is_active)
  execute function rate_limiter_internal.notify_tenant_change();
comment on trigger notify_tenant_change on rate_limiter.tenants is
  'Clients hear that its applications are served no longer.';

create or replace trigger notify_change
  after update on rate_limiter.system_settings
  for each row
  when (old.value is distinct from new.value)
  execute function rate_limiter_internal.notify_change('settings');
comment on trigger notify_change on rate_limiter.system_settings is
  'Clients take leases by the new settings.';
--! EndIncluded rate_limiter/caller_config/notify_change.triggers.sql
--! Included rate_limiter_private/caller_config/notify_change.triggers.sql
create or replace trigger notify_change
  after insert or update or delete on rate_limiter_private.api_keys
  for each row execute function rate_limiter_internal.notify_change('api_key', 'app_id');
comment on trigger notify_change on rate_limiter_private.api_keys is
  'Clients stop at once when their key is revoked.';
--! EndIncluded rate_limiter_private/caller_config/notify_change.triggers.sql
