--! Previous: sha1:dedaca1b58a53d913824fe6981f6dfa6c4cbd114
--! Hash: sha1:339fe4caa39c2ae60585990757847ab0e67ebbf6
--! Message: Decisions look up prices in place, charge bandwidth as they saw it, and write their ledger rows at once

-- The migration being written.
drop function if exists rate_limiter_internal.consume_at(timestamptz, uuid, text, bigint, text);
drop function if exists rate_limiter_internal.draw_from_layer_1(
  timestamptz, uuid, rate_limiter.bucket_type, timestamptz, numeric, integer
);
--! Included rate_limiter_internal/functions/leaky_delay_of.sql
create or replace function rate_limiter_internal.leaky_delay_of(app_id uuid, charge numeric)
returns bigint
language plpgsql
stable
parallel safe
as $$
declare
  delay_ms bigint;
begin
  select rate_limiter_internal.leaky_delay_ms(
    b.current_tokens + charge, b.capacity, b.refill_rate
  )
  into delay_ms
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'iops_l2' and b.mode = 'enforce';
  return delay_ms;
end;
$$;

comment on function rate_limiter_internal.leaky_delay_of(uuid, numeric) is
  'leaky_delay_ms() of an application''s bucket that was just charged so much. A function that '
  'is called, and not inlined, because most buckets are not leaky.';
--! EndIncluded rate_limiter_internal/functions/leaky_delay_of.sql
--! Included rate_limiter_internal/functions/prepare_to_charge.sql
create or replace function rate_limiter_internal.prepare_to_charge(at timestamptz)
returns void
language plpgsql
volatile
parallel unsafe
as $$
begin
  if current_setting('synchronous_commit') <> 'off' then
    perform rate_limiter_internal.apply_durability((
      select e.synchronous_commit from rate_limiter_internal.engine_settings as e
    ));
  end if;
  if current_setting('rate_limiter_denials.minute', true)
    not in ('', div(extract(epoch from at), 60)::text)
  then
    perform rate_limiter_internal.flush_denials();
  end if;
end;
$$;

comment on function rate_limiter_internal.prepare_to_charge(timestamptz) is
  'Before a charge, in a session that waits for the disk at commits or has counted denials: lets '
  'the commit go unwaited for as the settings say, and takes the counts of earlier minutes along, '
  'as something is written anyway.';
--! EndIncluded rate_limiter_internal/functions/prepare_to_charge.sql
--! Included rate_limiter_internal/functions/note_decision.sql
create or replace function rate_limiter_internal.note_decision(
  at timestamptz,
  app_id uuid,
  size_bytes bigint,
  decision rate_limiter.decision
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
declare
  counted bigint;
begin
  if not decision.allowed then
    counted := rate_limiter_internal.count_denial(
      at, app_id, decision.reason, decision.cost, coalesce(size_bytes, 0)
    );
  end if;
  return decision;
end;
$$;

comment on function rate_limiter_internal.note_decision(
  timestamptz, uuid, bigint, rate_limiter.decision
) is
  'Counts a denial in this session''s memory. Answers the decision.';
--! EndIncluded rate_limiter_internal/functions/note_decision.sql
--! Included rate_limiter_internal/functions/consume_by_draw.sql
create or replace function rate_limiter_internal.consume_by_draw(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  cost numeric,
  bytes numeric,
  out decision rate_limiter.decision,
  out lost_race boolean
)
language plpgsql
volatile
parallel unsafe
as $$
-- As flat as consume_at, and for the same reason.
declare
  iops record;
  bandwidth record;
  shared_iops record;
  shared_bandwidth record;
  allotment_ms integer;
  iops_left numeric;
  bytes_left numeric;
  -- Drawn from layer 1, and of that what is not needed now; null where nothing is drawn.
  iops_drawn numeric;
  iops_ahead numeric;
  bytes_drawn numeric;
  bytes_ahead numeric;
  -- Numbers of the ledger rows; null where nothing was charged.
  iops_seq bigint;
  bytes_seq bigint;
  -- The rows of layer 1 as they are after that.
  shared_iops_seq bigint;
  shared_iops_refilled numeric;
  shared_iops_left numeric;
  shared_bytes_seq bigint;
  shared_bytes_refilled numeric;
  shared_bytes_left numeric;
  draw_type rate_limiter.transaction_type;
  is_short boolean := false;
begin
  lost_race := false;

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
    b.calculation_method, b.last_refill_at, b.allotment_expires_at,
    case when b.allotment_expires_at > at then b.allotment else 0 end as allotment,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into iops
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'iops_l2' and b.mode = 'enforce';

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
    b.last_refill_at, b.allotment_expires_at,
    case when b.allotment_expires_at > at then b.allotment else 0 end as allotment,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into bandwidth
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'bandwidth_l2' and b.mode = 'enforce';

  if at >= iops.terms_until or at >= bandwidth.terms_until then
    return;
  end if;

  -- Null, and so never short, where there is no such bucket.
  iops_left := iops.current_tokens + iops.refilled - cost;
  bytes_left := bandwidth.current_tokens + bandwidth.refilled - bytes;
  if iops_left < 0 or bytes_left < 0 then
    decision := rate_limiter_internal.refusal_at(at, app_id, cluster_id, cost, bytes);
    return;
  end if;

  if cluster_id is not null then
    select
      e.layer_1_allotment_ms, case when e.layer_1_allotment_ms > 0 then 'allot' else 'consume' end
    into allotment_ms, draw_type
    from rate_limiter_internal.engine_settings as e;
  end if;

  -- Where no allotment pays, layer 1 does, unless it has no quota of the kind. What is drawn
  -- ahead of need leaves its reserve alone, as a lease does.
  if cluster_id is not null and cost > coalesce(iops.allotment, 0) then
    select
      b.terms_until, b.capacity, b.calculation_method, b.min_reserve,
      b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) - cost + coalesce(iops.allotment, 0) as tokens_left
    into shared_iops
    from rate_limiter.token_buckets as b
    where b.owner_id = cluster_id and b.bucket_type = 'iops_l1' and b.mode = 'enforce';
    if at >= shared_iops.terms_until
      or shared_iops.capacity is not null and (
        shared_iops.tokens_left < 0
        or shared_iops.calculation_method <> 'token_bucket'
        or iops_left is null
      )
    then
      return;
    end if;
    if shared_iops.capacity is not null then
      iops_ahead := greatest(0, least(
        allotment_ms * 0.001 * iops.refill_rate,
        shared_iops.tokens_left - shared_iops.min_reserve
      ));
      iops_drawn := cost - iops.allotment + iops_ahead;
    end if;
  end if;
  if cluster_id is not null and bytes > coalesce(bandwidth.allotment, 0) then
    select
      b.terms_until, b.capacity, b.min_reserve,
      b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) - bytes + coalesce(bandwidth.allotment, 0) as tokens_left
    into shared_bandwidth
    from rate_limiter.token_buckets as b
    where b.owner_id = cluster_id and b.bucket_type = 'bandwidth_l1' and b.mode = 'enforce';
    if at >= shared_bandwidth.terms_until
      or shared_bandwidth.capacity is not null and (
        shared_bandwidth.tokens_left < 0 or bytes_left is null
      )
    then
      return;
    end if;
    if shared_bandwidth.capacity is not null then
      bytes_ahead := greatest(0, least(
        allotment_ms * 0.001 * bandwidth.refill_rate,
        shared_bandwidth.tokens_left - shared_bandwidth.min_reserve
      ));
      bytes_drawn := bytes - bandwidth.allotment + bytes_ahead;
    end if;
  end if;

  if iops_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = iops_left,
      refilled = iops.refilled,
      last_refill_at = greatest(iops.last_refill_at, at),
      allotment = coalesce(iops_ahead, greatest(iops.allotment - cost, 0)),
      allotment_expires_at = case when iops_ahead is null then iops.allotment_expires_at
        else at + interval '1 second' end,
      ledger_seq = iops.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'iops_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = iops.ledger_seq
      and b.terms_until = iops.terms_until
    returning b.ledger_seq into iops_seq;
    if not found then
      lost_race := true;
      return;
    end if;
  end if;

  if bytes > 0 and bytes_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = bytes_left,
      refilled = bandwidth.refilled,
      last_refill_at = greatest(bandwidth.last_refill_at, at),
      allotment = coalesce(bytes_ahead, greatest(bandwidth.allotment - bytes, 0)),
      allotment_expires_at = case when bytes_ahead is null
        then bandwidth.allotment_expires_at else at + interval '1 second' end,
      ledger_seq = bandwidth.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'bandwidth_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = bandwidth.ledger_seq
      and b.terms_until = bandwidth.terms_until
    returning b.ledger_seq into bytes_seq;
    -- The first bucket was as it was read and this one no longer.
    is_short := not found;
  end if;

  -- Layer 1 comes last, because all applications of the cluster wait for its rows, and by what
  -- these hold when they are locked: others have drawn on them since they were read.
  if iops_drawn is not null and not is_short then
    update rate_limiter.token_buckets as b
    set
      current_tokens = b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) - iops_drawn,
      refilled = rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ),
      last_refill_at = greatest(b.last_refill_at, at),
      ledger_seq = b.ledger_seq + 1,
      updated_at = at
    where b.owner_id = cluster_id
      and b.bucket_type = 'iops_l1'
      and b.mode = 'enforce'
      and b.capacity is not null
      and b.calculation_method <> 'fixed_window'
      and b.terms_until = shared_iops.terms_until
      and b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) >= iops_drawn
    returning b.ledger_seq, b.refilled, b.current_tokens
    into shared_iops_seq, shared_iops_refilled, shared_iops_left;
    is_short := not found;
  end if;
  if bytes_drawn is not null and not is_short then
    update rate_limiter.token_buckets as b
    set
      current_tokens = b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) - bytes_drawn,
      refilled = rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ),
      last_refill_at = greatest(b.last_refill_at, at),
      ledger_seq = b.ledger_seq + 1,
      updated_at = at
    where b.owner_id = cluster_id
      and b.bucket_type = 'bandwidth_l1'
      and b.mode = 'enforce'
      and b.capacity is not null
      and b.calculation_method <> 'fixed_window'
      and b.terms_until = shared_bandwidth.terms_until
      and b.current_tokens + rate_limiter_internal.inflow(
        b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
      ) >= bytes_drawn
    returning b.ledger_seq, b.refilled, b.current_tokens
    into shared_bytes_seq, shared_bytes_refilled, shared_bytes_left;
    is_short := not found;
  end if;

  insert into rate_limiter.token_transactions (
    owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
    balance_after
  )
  select
    c.owner_id, at, c.seq, c.bucket_type, 'enforce', c.transaction_type, -c.tokens, c.refilled,
    c.balance
  from (
    values
      (
        app_id, iops_seq, 'iops_l2'::rate_limiter.bucket_type,
        'consume'::rate_limiter.transaction_type, cost, iops.refilled, iops_left
      ),
      (app_id, bytes_seq, 'bandwidth_l2', 'consume', bytes, bandwidth.refilled, bytes_left),
      (
        cluster_id, shared_iops_seq, 'iops_l1', draw_type, iops_drawn, shared_iops_refilled,
        shared_iops_left
      ),
      (
        cluster_id, shared_bytes_seq, 'bandwidth_l1', draw_type, bytes_drawn,
        shared_bytes_refilled, shared_bytes_left
      )
  ) as c (owner_id, seq, bucket_type, transaction_type, tokens, refilled, balance)
  where c.seq is not null;

  if is_short then
    perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
    perform rate_limiter_internal.take_back(
      at, app_id, 'bandwidth_l2', case when bytes_seq is not null then bytes end
    );
    perform rate_limiter_internal.take_back(
      at, cluster_id, 'iops_l1', case when shared_iops_seq is not null then iops_drawn end
    );
    return;
  end if;

  decision := row(
    true, null, cost, iops_left, bytes_left, 0,
    case when iops.calculation_method = 'leaky_bucket'
      then rate_limiter_internal.leaky_delay_ms(iops_left + cost, iops.capacity, iops.refill_rate)
      else 0
    end
  );
end;
$$;

comment on function rate_limiter_internal.consume_by_draw(
  timestamptz, uuid, uuid, numeric, numeric
) is
  'Decides on an operation of a fixed window, or that allotments do not pay for: charges it, '
  'draws on layer 1 for it and some ahead of need, or denies it. A null decision is left to be '
  'made under locks, or, after a lost race, to be tried again; nothing is charged then.';
--! EndIncluded rate_limiter_internal/functions/consume_by_draw.sql
--! Included rate_limiter_internal/functions/consume_at.sql
create or replace function rate_limiter_internal.consume_at(
  at timestamptz,
  app_id uuid,
  operation text,
  size_bytes bigint,
  reference_id text default null,
  counts_denials boolean default false
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
as $$
-- The hottest code of the product, and flat for that: each row is read by its key in a statement
-- of its own and each amount kept in a variable of its own, because joins, arrays and rows that
-- pass between functions were all measured to cost more (docs/performance.md).
declare
  app record;
  price record;
  cost numeric;
  iops record;
  is_charged boolean := false;
  -- The bandwidth bucket as it was looked at.
  bytes_seq bigint;
  bytes_terms_until timestamptz;
  bytes_refilled numeric;
  bytes_left numeric;
  bytes_allotted numeric;
  may_pay boolean;
  drawn record;
  lost_races integer := 0;
  allotment_ms integer;
  decision rate_limiter.decision;
begin
  loop
    select
      a.cluster_id, a.has_shadow, a.has_bandwidth, a.has_cost_rule,
      current_setting('synchronous_commit') <> 'off'
        or current_setting('rate_limiter_denials.minute', true) <> '' as has_to_prepare
    into app
    from rate_limiter.applications as a
    where a.app_id = consume_at.app_id and a.is_active and a.tenant_is_active;
    if not found then
      perform rate_limiter_internal.admission_of(app_id);
      -- It was made or activated since it was looked for.
      continue;
    end if;
    if app.has_to_prepare then
      perform rate_limiter_internal.prepare_to_charge(at);
    end if;

    if app.has_cost_rule then
      select o.operation_id, o.c_base, o.c_bw, o.unit_quantum
      into price
      from rate_limiter.operation_types as o
      where o.name = operation and o.is_active and size_bytes >= 0;

      select rate_limiter_internal.cost_of(
        coalesce(r.c_base_override, price.c_base), coalesce(r.c_bw_override, price.c_bw),
        price.unit_quantum, size_bytes
      )
      into cost
      from rate_limiter.cost_rules as r
      where r.app_id = consume_at.app_id
        and r.operation_id = price.operation_id
        and r.is_active
        and r.valid_from <= at
        and (r.valid_to is null or r.valid_to > at);
    end if;
    if cost is null then
      select rate_limiter_internal.cost_of(o.c_base, o.c_bw, o.unit_quantum, size_bytes)
      into cost
      from rate_limiter.operation_types as o
      where o.name = operation and o.is_active and size_bytes >= 0;
    end if;
    exit when cost is null or cost = 0 or reference_id is not null or app.has_shadow;

    -- The short road: the application's own buckets can pay, and so can what layer 1 allotted to
    -- them. Bandwidth, charged last, is looked at first, so that a denial finds out before
    -- anything is written, and again where it changed while this decision waited for its turn.
    loop
      if app.has_bandwidth then
        select
          b.ledger_seq, b.terms_until, b.refilled, b.tokens + b.refilled - size_bytes,
          greatest(b.allotment - size_bytes, 0),
          b.is_covered and b.tokens + b.refilled >= size_bytes
        into bytes_seq, bytes_terms_until, bytes_refilled, bytes_left, bytes_allotted, may_pay
        from (
          select
            t.ledger_seq, t.terms_until, t.allotment, t.current_tokens as tokens,
            rate_limiter_internal.inflow(
              t.current_tokens, t.capacity, t.refill_rate, t.last_refill_at, at
            ) as refilled,
            at < t.terms_until and (
              app.cluster_id is null or size_bytes = 0
              or t.allotment >= size_bytes and t.allotment_expires_at > at
            ) as is_covered
          from rate_limiter.token_buckets as t
          where t.owner_id = consume_at.app_id
            and t.bucket_type = 'bandwidth_l2'
            and t.mode = 'enforce'
            and t.capacity is not null
          offset 0
        ) as b;
        exit when may_pay is not true;
      end if;

      if not is_charged then
        -- Waits for its row and looks at it as it then is. Fixed windows are left to
        -- consume_by_draw: what flows into them takes too long to say three times.
        update rate_limiter.token_buckets as b
        set
          current_tokens = b.current_tokens - cost + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          refilled = rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ),
          last_refill_at = greatest(b.last_refill_at, at),
          allotment = greatest(b.allotment - cost, 0),
          ledger_seq = b.ledger_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'iops_l2'
          and b.mode = 'enforce'
          and b.capacity is not null
          and b.calculation_method <> 'fixed_window'
          and at < b.terms_until
          and (
            app.cluster_id is null or b.allotment >= cost and b.allotment_expires_at > at
          )
          and b.current_tokens + rate_limiter_internal.inflow(
            b.current_tokens, b.capacity, b.refill_rate, b.last_refill_at, at
          ) >= cost
        returning b.ledger_seq, b.refilled, b.current_tokens, b.calculation_method
        into iops;
        exit when not found;
        is_charged := true;
      end if;

      if not app.has_bandwidth or size_bytes = 0 then
        insert into rate_limiter.token_transactions (
          owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
          refilled, balance_after
        )
        values (
          app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
          iops.current_tokens
        );
      else
        update rate_limiter.token_buckets as b
        set
          current_tokens = bytes_left,
          refilled = bytes_refilled,
          last_refill_at = greatest(b.last_refill_at, at),
          allotment = bytes_allotted,
          ledger_seq = bytes_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.ledger_seq = bytes_seq
          and b.terms_until = bytes_terms_until;
        continue when not found;

        insert into rate_limiter.token_transactions (
          owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
          refilled, balance_after
        )
        values
          (
            app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
            iops.current_tokens
          ),
          (
            app_id, at, bytes_seq + 1, 'bandwidth_l2', 'enforce', 'consume', -size_bytes,
            bytes_refilled, bytes_left
          );
      end if;
      return row(
        true, null::text, cost, iops.current_tokens, bytes_left, 0::bigint,
        case when iops.calculation_method = 'leaky_bucket'
          then rate_limiter_internal.leaky_delay_of(app_id, cost)
          else 0
        end
      );
    end loop;

    if is_charged then
      -- Others were faster, and what they left of the bandwidth cannot pay.
      insert into rate_limiter.token_transactions (
        owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
        balance_after
      )
      values (
        app_id, at, iops.ledger_seq, 'iops_l2', 'enforce', 'consume', -cost, iops.refilled,
        iops.current_tokens
      );
      perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
      exit;
    elsif bytes_left < 0 then
      decision := rate_limiter_internal.refusal_at(at, app_id, app.cluster_id, cost, size_bytes);
      exit;
    end if;
    drawn := rate_limiter_internal.consume_by_draw(
      at, app_id, app.cluster_id, cost, size_bytes
    );
    decision := drawn.decision;
    exit when not drawn.lost_race;
    lost_races := lost_races + 1;
    exit when lost_races = 3;
  end loop;

  if decision.allowed is null then
    if cost is null then
      cost := rate_limiter_internal.cost_at(at, app_id, operation, coalesce(size_bytes, 0));
    end if;
    perform rate_limiter_internal.check_reference(reference_id);
    select e.layer_1_allotment_ms
    into allotment_ms
    from rate_limiter_internal.engine_settings as e;
    decision := (rate_limiter_internal.consume_exactly(
      at, app_id, app.cluster_id, allotment_ms, array[operation],
      array[coalesce(size_bytes, 0)], array[cost],
      case when reference_id is not null then array[reference_id] end
    ))[1];
  end if;
  if counts_denials then
    return rate_limiter_internal.note_decision(at, app_id, size_bytes, decision);
  end if;
  return decision;
end;
$$;

comment on function rate_limiter_internal.consume_at(
  timestamptz, uuid, text, bigint, text, boolean
) is
  'consume() at a moment of the caller''s choice: for tests and replay, which count no denials. '
  'Under a reference that was charged before it answers as then and takes nothing. Plain '
  'decisions take a short road that locks nothing ahead; all others, and those that lose three '
  'races, the one of consume_exactly.';
--! EndIncluded rate_limiter_internal/functions/consume_at.sql
--! Included rate_limiter/functions/consume.sql
create or replace function rate_limiter.consume(
  app_id uuid,
  operation text,
  size_bytes bigint default 0,
  reference_id text default null
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return rate_limiter_internal.consume_at(
    clock_timestamp(), app_id, operation, size_bytes, reference_id, counts_denials => true
  );
end;
$$;

comment on function rate_limiter.consume(uuid, text, bigint, text) is
  'Decides whether an operation of an application may run now, and charges it if so. A retry '
  'under the same reference_id is answered as before and takes nothing. A denial is an answer. '
  'Raises QS404 for an unknown application or operation, QS403 for an inactive application, '
  'tenant or operation, QS422 for a negative size.';
grant execute on function rate_limiter.consume(uuid, text, bigint, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/consume.sql
--! Included rate_limiter/functions/consume_with_key.sql
create or replace function rate_limiter.consume_with_key(
  api_key text,
  operation text,
  size_bytes bigint default 0,
  reference_id text default null
)
returns rate_limiter.decision
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  at constant timestamptz := clock_timestamp();
  app_id uuid;
begin
  select k.app_id
  into app_id
  from rate_limiter_private.api_keys as k
  where k.key_hash = sha256(convert_to(api_key, 'UTF8'))
    and (k.expires_at is null or k.expires_at > at)
    and (k.revoked_at is null or k.revoked_at > at);
  if app_id is null then
    perform rate_limiter_internal.application_of_key_at(at, api_key);
  end if;

  return rate_limiter_internal.consume_at(
    at, app_id, operation, size_bytes, reference_id, counts_denials => true
  );
end;
$$;

comment on function rate_limiter.consume_with_key(text, text, bigint, text) is
  'consume() for the application that an API key opens. Raises QS401 for a key that is unknown, '
  'expired or revoked, and what consume() raises.';
grant execute on function rate_limiter.consume_with_key(text, text, bigint, text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/functions/consume_with_key.sql
