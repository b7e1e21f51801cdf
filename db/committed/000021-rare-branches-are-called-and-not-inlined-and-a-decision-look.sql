--! Previous: sha1:aa549c82dd51cb6b2026d2bae567aecf02b33ec3
--! Hash: sha1:362f282bbaf3d03df95f105f6c47f4eafa3a32b4
--! Message: Rare branches are called and not inlined, and a decision looks up prices in one statement

-- The migration being written.

--! Included rate_limiter_internal/functions/fixed_window_refill.sql
create or replace function rate_limiter_internal.fixed_window_refill(
  tokens numeric,
  capacity numeric,
  window_seconds integer,
  last_refill_at timestamptz,
  at timestamptz
)
returns numeric
language plpgsql
immutable
parallel safe
as $$
begin
  if div(extract(epoch from at - timestamptz 'epoch'), window_seconds)
    > div(extract(epoch from last_refill_at - timestamptz 'epoch'), window_seconds)
  then
    return greatest(capacity - tokens, 0);
  end if;
  return 0;
end;
$$;

comment on function rate_limiter_internal.fixed_window_refill(
  numeric, numeric, integer, timestamptz, timestamptz
) is
  'refill() of a fixed window: all that is missing once a new window has begun, and nothing '
  'before. A function that is called, and not inlined, because most buckets are none.';
--! EndIncluded rate_limiter_internal/functions/fixed_window_refill.sql
--! Included rate_limiter_internal/functions/refill.sql
create or replace function rate_limiter_internal.refill(
  tokens numeric,
  capacity numeric,
  refill_rate bigint,
  calculation_method rate_limiter.calculation_method,
  burst_duration_seconds integer,
  last_refill_at timestamptz,
  at timestamptz
)
returns numeric
language sql
immutable
parallel safe
as $$
  select case
    when capacity is null then null
    when calculation_method <> 'fixed_window' then rate_limiter_internal.inflow(
      tokens, capacity, refill_rate, last_refill_at, at
    )
    else rate_limiter_internal.fixed_window_refill(
      tokens, capacity, burst_duration_seconds, last_refill_at, at
    )
  end;
$$;

comment on function rate_limiter_internal.refill(
  numeric, numeric, bigint, rate_limiter.calculation_method, integer, timestamptz, timestamptz
) is
  'Tokens that flow into a bucket between last_refill_at and at; none where the clock stepped '
  'back, null where there is no quota. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/functions/refill.sql
--! Included rate_limiter_internal/functions/fixed_window_wait_ms.sql
create or replace function rate_limiter_internal.fixed_window_wait_ms(
  at timestamptz,
  window_seconds integer,
  last_refill_at timestamptz
)
returns bigint
language plpgsql
immutable
parallel safe
as $$
declare
  current_window constant numeric := div(
    extract(epoch from greatest(last_refill_at, at) - timestamptz 'epoch'), window_seconds
  );
begin
  return ceil(
    (current_window + 1) * window_seconds * 1000
    - extract(epoch from at - timestamptz 'epoch') * 1000
  );
end;
$$;

comment on function rate_limiter_internal.fixed_window_wait_ms(
  timestamptz, integer, timestamptz
) is
  'wait_ms() of a fixed window: until the next one starts. A function that is called, and not '
  'inlined, because most buckets are none.';
--! EndIncluded rate_limiter_internal/functions/fixed_window_wait_ms.sql
--! Included rate_limiter_internal/functions/wait_ms.sql
create or replace function rate_limiter_internal.wait_ms(
  at timestamptz,
  calculation_method rate_limiter.calculation_method,
  burst_duration_seconds integer,
  refill_rate bigint,
  last_refill_at timestamptz,
  shortage numeric
)
returns bigint
language sql
immutable
parallel safe
as $$
  select case calculation_method
    when 'fixed_window' then rate_limiter_internal.fixed_window_wait_ms(
      at, burst_duration_seconds, last_refill_at
    )
    else ceil(
      extract(epoch from greatest(last_refill_at - at, interval '0')) * 1000
      + div(shortage * 1000000 + refill_rate - 1, refill_rate) * 0.001
    )::bigint
  end;
$$;

comment on function rate_limiter_internal.wait_ms(
  timestamptz, rate_limiter.calculation_method, integer, bigint, timestamptz, numeric
) is
  'Milliseconds, rounded up, from a moment until a bucket will hold what it lacks; in a fixed '
  'window until the next one starts. Inlined into the statements that call it.';
--! EndIncluded rate_limiter_internal/functions/wait_ms.sql
--! Included rate_limiter_internal/functions/count_denial.sql
create or replace function rate_limiter_internal.count_denial(
  at timestamptz,
  app_id uuid,
  reason text,
  tokens numeric,
  bytes numeric,
  operations bigint default 1
)
returns bigint
language plpgsql
volatile
parallel unsafe
as $$
declare
  this_minute constant text := div(extract(epoch from at), 60)::text;
  key constant text := replace(app_id::text, '-', '') || '_' || reason;
  list text;
  counted numeric[];
  -- Assigned and not performed: that would be a query each time.
  kept text;
begin
  if current_setting('rate_limiter_denials.minute', true) is distinct from this_minute then
    perform rate_limiter_internal.flush_denials();
    kept := set_config('rate_limiter_denials.minute', this_minute, false);
  end if;

  counted := nullif(current_setting('rate_limiter_denials.d' || key, true), '');
  if counted is null then
    counted := array[operations, tokens, bytes];
    -- One list of all keys would be copied whole at each new one.
    list := 'rate_limiter_denials.k' || left(key, 2);
    kept := set_config(
      list, ltrim(coalesce(current_setting(list, true), '') || ' ' || key), false
    );
  else
    counted := array[counted[1] + operations, counted[2] + tokens, counted[3] + bytes];
  end if;
  kept := set_config('rate_limiter_denials.d' || key, counted::text, false);
  return counted[1];
end;
$$;

comment on function rate_limiter_internal.count_denial(
  timestamptz, uuid, text, numeric, numeric, bigint
) is
  'Counts a denial in this session''s memory: no row and no WAL. The first denial of another '
  'minute writes down the counts of the one before (flush_denials), so that however many are '
  'denied, a session writes once a minute and one row for each application and reason. A '
  'session that ends takes the counts of its last minute with it. Answers how many operations '
  'it has counted of this application and reason.';
--! EndIncluded rate_limiter_internal/functions/count_denial.sql
--! Included rate_limiter_internal/functions/consume_by_draw.sql
create or replace function rate_limiter_internal.consume_by_draw(
  at timestamptz,
  app_id uuid,
  cluster_id uuid,
  cost numeric,
  bytes numeric,
  iops_drawn numeric,
  bytes_drawn numeric,
  out decision rate_limiter.decision,
  out lost_race boolean
)
language plpgsql
volatile
parallel unsafe
as $$
-- As flat as consume_at, and for the same reason; what touches layer 1 is in functions of its own,
-- because stripes keep that rare.
declare
  iops record;
  bandwidth record;
  -- Null where the application has no such bucket.
  iops_left numeric;
  bytes_left numeric;
  stripe record;
  iops_draw rate_limiter_internal.layer_1_draw;
  bytes_draw rate_limiter_internal.layer_1_draw;
  is_iops_charged boolean := false;
  is_bytes_charged boolean := false;
  is_iops_drawn boolean := false;
begin
  lost_race := false;

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
    b.calculation_method, b.last_refill_at,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into iops
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'iops_l2' and b.mode = 'enforce';

  if at >= iops.terms_until then
    return;
  end if;
  iops_left := iops.current_tokens + iops.refilled - cost;
  if iops_left < 0 then
    decision := rate_limiter_internal.refusal_at(at, app_id, cluster_id, cost, bytes);
    return;
  end if;

  select
    b.ledger_seq, b.terms_until, b.current_tokens, b.last_refill_at,
    rate_limiter_internal.refill(
      b.current_tokens, b.capacity, b.refill_rate, b.calculation_method,
      b.burst_duration_seconds, b.last_refill_at, at
    ) as refilled
  into bandwidth
  from rate_limiter.token_buckets as b
  where b.owner_id = app_id and b.bucket_type = 'bandwidth_l2' and b.mode = 'enforce';

  if at >= bandwidth.terms_until then
    return;
  end if;
  bytes_left := bandwidth.current_tokens + bandwidth.refilled - bytes;
  if bytes_left < 0 then
    decision := rate_limiter_internal.refusal_at(at, app_id, cluster_id, cost, bytes);
    return;
  end if;

  if iops_drawn > 0 or bytes_drawn > 0 then
    select
      e.layer_1_allotment_ms as allotment_ms,
      case when s.expires_at > at then s.iops else 0 end as iops,
      case when s.expires_at > at then s.bytes else 0 end as bytes
    into stripe
    from rate_limiter_internal.engine_settings as e
    left join rate_limiter_internal.layer_1_stripes as s
      on s.cluster_id = consume_by_draw.cluster_id
      and s.stripe = rate_limiter_internal.own_stripe();
    iops_draw := rate_limiter_internal.layer_1_draw_at(
      at, cluster_id, 'iops_l1', iops_drawn, stripe.iops, stripe.allotment_ms
    );
    bytes_draw := rate_limiter_internal.layer_1_draw_at(
      at, cluster_id, 'bandwidth_l1', bytes_drawn, stripe.bytes, stripe.allotment_ms
    );
    if not iops_draw.is_possible or not bytes_draw.is_possible then
      return;
    end if;
  end if;

  if iops_left is not null then
    update rate_limiter.token_buckets as b
    set
      current_tokens = iops_left,
      refilled = iops.refilled,
      last_refill_at = greatest(iops.last_refill_at, at),
      ledger_seq = iops.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'iops_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = iops.ledger_seq
      and b.terms_until = iops.terms_until;
    is_iops_charged := found;
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
      ledger_seq = bandwidth.ledger_seq + 1,
      updated_at = at
    where b.owner_id = app_id
      and b.bucket_type = 'bandwidth_l2'
      and b.mode = 'enforce'
      and b.ledger_seq = bandwidth.ledger_seq
      and b.terms_until = bandwidth.terms_until;
    is_bytes_charged := found;
    -- The first bucket was as it was read and this one no longer.
    lost_race := not found;
  end if;

  insert into rate_limiter.token_transactions (
    owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change, refilled,
    balance_after
  )
  select
    app_id, at, c.seq_before + 1, c.bucket_type, 'enforce', 'consume', -c.tokens, c.refilled,
    c.balance
  from (
    values
      (
        is_iops_charged, iops.ledger_seq, 'iops_l2'::rate_limiter.bucket_type, cost,
        iops.refilled, iops_left
      ),
      (
        is_bytes_charged, bandwidth.ledger_seq, 'bandwidth_l2', bytes, bandwidth.refilled,
        bytes_left
      )
  ) as c (is_charged, seq_before, bucket_type, tokens, refilled, balance)
  where c.is_charged;

  -- Layer 2, the stripe, layer 1: in this order everybody locks them, and layer 1 is held the
  -- shortest, because all applications of the cluster wait for its rows.
  if not lost_race
    and iops_draw.taken + iops_draw.kept + bytes_draw.taken + bytes_draw.kept > 0
  then
    lost_race := not rate_limiter_internal.take_from_stripe(
      at, cluster_id, iops_draw.taken, bytes_draw.taken
    );
  end if;
  if iops_draw.drawn > 0 and not lost_race then
    is_iops_drawn := rate_limiter_internal.draw_on_layer_1(
      at, cluster_id, 'iops_l1', iops_draw, stripe.allotment_ms
    );
    lost_race := not is_iops_drawn;
  end if;
  if bytes_draw.drawn > 0 and not lost_race then
    lost_race := not rate_limiter_internal.draw_on_layer_1(
      at, cluster_id, 'bandwidth_l1', bytes_draw, stripe.allotment_ms
    );
  end if;

  if lost_race then
    -- What the stripe paid lapses.
    perform rate_limiter_internal.take_back(
      at, app_id, 'iops_l2', case when is_iops_charged then cost end
    );
    perform rate_limiter_internal.take_back(
      at, app_id, 'bandwidth_l2', case when is_bytes_charged then bytes end
    );
    perform rate_limiter_internal.take_back(
      at, cluster_id, 'iops_l1', case when is_iops_drawn then iops_draw.drawn end
    );
    return;
  end if;
  if iops_draw.kept > 0 or bytes_draw.kept > 0 then
    perform rate_limiter_internal.keep_in_stripe(at, cluster_id, iops_draw.kept, bytes_draw.kept);
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
  timestamptz, uuid, uuid, numeric, numeric, numeric, numeric
) is
  'Decides on an operation of a fixed window, or whose draw on layer 1 the session''s stripe does '
  'not pay: charges it and draws for it, and for the stripe ahead of need, or denies it. A null '
  'decision is left to be made under locks, or, after a lost race, to be tried again; nothing is '
  'charged then.';
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
-- The hottest code of the product, and flat for that: what changes is read by its key in statements
-- of their own, because arrays, rows that pass between functions, and one statement for all were
-- measured to cost more (docs/performance.md).
declare
  app record;
  cost numeric;
  iops record;
  is_charged boolean := false;
  -- What layer 1 pays; null where it pays nothing.
  iops_drawn numeric;
  bytes_drawn numeric;
  -- The bandwidth bucket as it was looked at.
  bandwidth record;
  bytes_refilled numeric;
  bytes_left numeric;
  may_pay boolean;
  drawn record;
  lost_races integer := 0;
  decision rate_limiter.decision;
begin
  loop
    select
      a.cluster_id, a.has_shadow, a.has_cost_rule, a.has_bandwidth, a.draws_iops,
      a.draws_bandwidth,
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
      select rate_limiter_internal.cost_of(
        coalesce(r.c_base_override, o.c_base), coalesce(r.c_bw_override, o.c_bw), o.unit_quantum,
        size_bytes
      )
      into cost
      from rate_limiter.operation_types as o
      left join rate_limiter.cost_rules as r
        on r.app_id = consume_at.app_id
        and r.operation_id = o.operation_id
        and r.is_active
        and r.valid_from <= at
        and (r.valid_to is null or r.valid_to > at)
      where o.name = operation and o.is_active and size_bytes >= 0;
    else
      select rate_limiter_internal.cost_of(o.c_base, o.c_bw, o.unit_quantum, size_bytes)
      into cost
      from rate_limiter.operation_types as o
      where o.name = operation and o.is_active and size_bytes >= 0;
    end if;
    exit when cost is null or cost = 0 or reference_id is not null or app.has_shadow;

    if app.draws_iops or app.draws_bandwidth and size_bytes > 0 then
      iops_drawn := case when app.draws_iops then cost else 0 end;
      bytes_drawn := case when app.draws_bandwidth then size_bytes else 0 end;
    end if;

    -- The short road: the application's own buckets can pay, and so can what was drawn on layer 1
    -- ahead of need. Bandwidth, charged last, is looked at first, so that a denial finds out before
    -- anything is written, and again where it changed while this decision waited for its turn.
    loop
      if app.has_bandwidth then
        select
          b.ledger_seq, b.terms_until, b.current_tokens, b.capacity, b.refill_rate,
          b.last_refill_at
        into bandwidth
        from rate_limiter.token_buckets as b
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.capacity is not null;
        bytes_refilled := rate_limiter_internal.inflow(
          bandwidth.current_tokens, bandwidth.capacity, bandwidth.refill_rate,
          bandwidth.last_refill_at, at
        );
        bytes_left := bandwidth.current_tokens + bytes_refilled - size_bytes;
        exit when (at < bandwidth.terms_until and bytes_left >= 0) is not true;
      end if;

      if iops_drawn is not null and not is_charged then
        select true
        into may_pay
        from rate_limiter_internal.layer_1_stripes as s
        where s.cluster_id = app.cluster_id
          and s.stripe = rate_limiter_internal.own_stripe()
          and rate_limiter_internal.stripe_pays(s, iops_drawn, bytes_drawn, at);
        exit when not found;
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
          ledger_seq = b.ledger_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'iops_l2'
          and b.mode = 'enforce'
          and b.calculation_method <> 'fixed_window'
          and at < b.terms_until
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
          ledger_seq = bandwidth.ledger_seq + 1,
          updated_at = at
        where b.owner_id = consume_at.app_id
          and b.bucket_type = 'bandwidth_l2'
          and b.mode = 'enforce'
          and b.ledger_seq = bandwidth.ledger_seq
          and b.terms_until = bandwidth.terms_until;
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
            app_id, at, bandwidth.ledger_seq + 1, 'bandwidth_l2', 'enforce', 'consume',
            -size_bytes, bytes_refilled, bytes_left
          );
      end if;
      if iops_drawn is not null then
        update rate_limiter_internal.layer_1_stripes as s
        set iops = s.iops - iops_drawn, bytes = s.bytes - bytes_drawn
        where s.cluster_id = app.cluster_id
          and s.stripe = rate_limiter_internal.own_stripe()
          and rate_limiter_internal.stripe_pays(s, iops_drawn, bytes_drawn, at);
        if not found then
          -- A session that shares the stripe was faster.
          perform rate_limiter_internal.take_back(at, app_id, 'iops_l2', cost);
          perform rate_limiter_internal.take_back(
            at, app_id, 'bandwidth_l2', case when app.has_bandwidth then size_bytes end
          );
          is_charged := false;
          exit;
        end if;
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
      at, app_id, app.cluster_id, cost, size_bytes, coalesce(iops_drawn, 0),
      coalesce(bytes_drawn, 0)
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
    decision := (rate_limiter_internal.consume_exactly(
      at, app_id, app.cluster_id, array[operation], array[coalesce(size_bytes, 0)], array[cost],
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
