--! Previous: sha1:7d29375e946e962e1c0dffd7fd84701f94856e2d
--! Hash: sha1:7bc84fcfbfbc30af83adf7700cddb79a1805a696
--! Message: exchanges of leases

-- Exchanges of leases
--! Included rate_limiter_internal/leases/standing_at.sql
create or replace function rate_limiter_internal.standing_at(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  tokens numeric,
  bytes numeric,
  out remaining numeric,
  out remaining_bytes numeric,
  out short_of rate_limiter.bucket_type
)
language plpgsql
stable
parallel safe
as $$
declare
  cluster_id uuid;
  bucket rate_limiter.token_buckets;
  lacking numeric;
begin
  select f.cluster_id into cluster_id
  from rate_limiter.app_facts as f
  where f.shard_key = standing_at.shard_key
    and f.app_id = standing_at.app_id;
  foreach bucket in array rate_limiter_internal.buckets_at(shard_key, at, app_id, cluster_id) loop
    continue when bucket.mode = 'shadow' or bucket.reserve_cluster_id is not null;
    if bucket.bucket_type = 'iops_l2' then
      remaining := bucket.current_tokens;
    elsif bucket.bucket_type = 'bandwidth_l2' then
      remaining_bytes := bucket.current_tokens;
    end if;
    lacking := case when rate_limiter_internal.is_bandwidth(bucket.bucket_type) then bytes
      else tokens end;
    if bucket.current_tokens - coalesce(bucket.headroom, 0) < lacking then
      short_of := least(short_of, bucket.bucket_type);
    end if;
  end loop;
end;
$$;

comment on function rate_limiter_internal.standing_at(
  integer, timestamptz, uuid, numeric, numeric
) is
  'What the buckets of layer 2 of an application hold, null for none, and the first of those that '
  'it draws on which does not hold so many tokens or bytes, in the order in which a denial names '
  'them.';
--! EndIncluded rate_limiter_internal/leases/standing_at.sql
--! Included rate_limiter_internal/leases/lock_exchange.sql
create or replace function rate_limiter_internal.lock_exchange(
  renewals rate_limiter_internal.lease_renewal[],
  settlements rate_limiter_internal.lease_end[],
  charges rate_limiter_internal.owed_charge[],
  waits boolean
)
returns uuid[]
language plpgsql
volatile
parallel unsafe
as $$
declare
  busy_app_ids uuid[] := '{}';
  item record;
begin
  for item in
    select i.shard_key, i.app_id, i.lease_id, bool_or(i.is_renewal) as is_renewal
    from (
      select r.shard_key, r.app_id, r.lease_id, true as is_renewal
      from unnest(renewals) as r
      union all
      select s.shard_key, s.app_id, s.lease_id, false
      from unnest(settlements) as s
    ) as i
    where i.lease_id is not null and i.shard_key is not null
    group by i.shard_key, i.app_id, i.lease_id
    order by i.app_id, i.lease_id
  loop
    if waits or not item.is_renewal then
      perform from rate_limiter.token_leases as l
      where l.shard_key = item.shard_key
        and l.app_id = item.app_id
        and l.lease_id = item.lease_id
      for update;
    elsif exists (
      select from rate_limiter.token_leases as l
      where l.shard_key = item.shard_key
        and l.app_id = item.app_id
        and l.lease_id = item.lease_id
        and not exists (
          select from rate_limiter.token_leases as f
          where f.shard_key = l.shard_key and f.app_id = l.app_id and f.lease_id = l.lease_id
          for update skip locked
        )
    ) then
      busy_app_ids := busy_app_ids || item.app_id;
    end if;
  end loop;

  for item in
    select
      i.shard_key, i.app_id, bool_and(i.is_settlement) as is_settlement,
      bool_or(i.is_charge) as is_charge
    from (
      select r.shard_key, r.app_id, false as is_settlement, false as is_charge
      from unnest(renewals) as r
      union all
      select c.shard_key, c.app_id, false, true
      from unnest(charges) as c
      union all
      select s.shard_key, s.app_id, true, false
      from unnest(settlements) as s
    ) as i
    where i.shard_key is not null and i.app_id <> all (busy_app_ids)
    group by i.shard_key, i.app_id
    order by i.app_id
  loop
    -- An application whose buckets another transaction holds makes no other one wait.
    if not waits and not item.is_settlement and exists (
      select from rate_limiter.token_buckets as b
      where b.shard_key = item.shard_key
        and b.owner_id = item.app_id
        and rate_limiter_internal.lock_rank(b.bucket_type) = 1
        and not exists (
          select from rate_limiter.token_buckets as f
          where f.shard_key = b.shard_key
            and f.owner_id = b.owner_id
            and f.bucket_type = b.bucket_type
            and f.mode = b.mode
          for update skip locked
        )
    ) then
      busy_app_ids := busy_app_ids || item.app_id;
    else
      perform rate_limiter_internal.lock_layer2_of(item.shard_key, item.app_id);
      -- What is owed is charged alone then, which raises what is wrong.
      if item.is_charge
        and not rate_limiter_internal.has_its_buckets(item.shard_key, item.app_id)
      then
        busy_app_ids := busy_app_ids || item.app_id;
      end if;
    end if;
  end loop;
  return busy_app_ids;
end;
$$;

comment on function rate_limiter_internal.lock_exchange(
  rate_limiter_internal.lease_renewal[], rate_limiter_internal.lease_end[],
  rate_limiter_internal.owed_charge[], boolean
) is
  'Locks the leases and the layer-2 buckets of an exchange, in the one order that cannot deadlock. '
  'Answers the applications that are busy: unless waits, those with renewals or charges of which '
  'another transaction holds a lease or a bucket, and always those with charges that lack a '
  'bucket, or have moved.';
--! EndIncluded rate_limiter_internal/leases/lock_exchange.sql
--! Included rate_limiter_internal/leases/settle_lease_layer2.sql
create or replace function rate_limiter_internal.settle_lease_layer2(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  out returned rate_limiter_internal.bucket_charge[],
  out released rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  lease constant rate_limiter.token_leases := rate_limiter_internal.end_lease(
    shard_key, at, app_id, lease_id, spent_tokens, spent_bytes
  );
  given rate_limiter_internal.bucket_charge[];
begin
  released := case when lease.revoked_at is null then lease.charged else '{}' end;
  returned := '{}';
  for kind in 1 .. 2 loop
    given := rate_limiter_internal.share_of_charges(
      lease.charged, kind = 2,
      case kind when 1 then lease.tokens - spent_tokens else lease.bytes - spent_bytes end
    );
    returned := returned || rate_limiter_internal.credit_layer2(
      at, given, null, jsonb_build_object('lease', lease_id)
    );
  end loop;
end;
$$;

comment on function rate_limiter_internal.settle_lease_layer2(
  integer, timestamptz, uuid, uuid, numeric, numeric
) is
  'settle_lease() of a lease whose layer-2 buckets the caller has locked, as far as layer 2 goes. '
  'Answers what layer 1 and reserves are to get back (returned), and what layer 1 counts as leased '
  'no more (released).';
--! EndIncluded rate_limiter_internal/leases/settle_lease_layer2.sql
--! Included rate_limiter_internal/leases/settle_layer2_exchanged.sql
create or replace function rate_limiter_internal.settle_layer2_exchanged(
  settlements rate_limiter_internal.lease_end[],
  at timestamptz,
  out returned rate_limiter_internal.bucket_charge[],
  out released rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  item rate_limiter_internal.lease_end;
  settled record;
begin
  returned := '{}';
  released := '{}';
  foreach item in array settlements loop
    begin
      perform rate_limiter_internal.record_denials(item.shard_key, item.app_id, item.denials);
      if item.lease_id is not null then
        settled := rate_limiter_internal.settle_lease_layer2(
          item.shard_key, at, item.app_id, item.lease_id, item.spent_tokens, item.spent_bytes
        );
        returned := returned || settled.returned;
        released := released || settled.released;
      end if;
    exception
      when sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS410' or sqlstate 'QS422' then
        -- It counts as spent.
        continue;
    end;
  end loop;
end;
$$;

comment on function rate_limiter_internal.settle_layer2_exchanged(
  rate_limiter_internal.lease_end[], timestamptz
) is
  'The settlements of exchange_leases(), as far as layer 2 goes: see settle_lease_layer2.';
--! EndIncluded rate_limiter_internal/leases/settle_layer2_exchanged.sql
--! Included rate_limiter_internal/leases/shares_leases.sql
create or replace function rate_limiter_internal.shares_leases(
  renewals rate_limiter_internal.lease_renewal[],
  at timestamptz
)
returns boolean
language plpgsql
stable
parallel safe
as $$
declare
  cluster record;
begin
  for cluster in
    select distinct f.shard_key, f.cluster_id
    from unnest(renewals) as r
    join rate_limiter.app_facts as f on f.shard_key = r.shard_key and f.app_id = r.app_id
    where f.cluster_id is not null
  loop
    if rate_limiter_internal.is_layer1_short(
      rate_limiter_internal.buckets_at(cluster.shard_key, at, null, cluster.cluster_id)
    ) then
      return true;
    end if;
  end loop;
  return false;
end;
$$;

comment on function rate_limiter_internal.shares_leases(
  rate_limiter_internal.lease_renewal[], timestamptz
) is 'Whether renewals are of a cluster whose layer 1 is short, so that its leases share it.';
--! EndIncluded rate_limiter_internal/leases/shares_leases.sql
--! Included rate_limiter_internal/leases/renew_lease_layer2.sql
create or replace function rate_limiter_internal.renew_lease_layer2(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  lease_id uuid,
  spent_tokens numeric,
  spent_bytes numeric,
  tokens numeric,
  bytes numeric,
  lifetime interval,
  holder text,
  next_lease_id uuid,
  out lease rate_limiter.lease_grant,
  out returned rate_limiter_internal.bucket_charge[],
  out released rate_limiter_internal.bucket_charge[],
  out drawn rate_limiter_internal.bucket_charge[],
  out asked rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  open_lease rate_limiter.token_leases;
  admission record;
  settled record;
  buckets rate_limiter.token_buckets[];
  layer1 rate_limiter.token_buckets[];
  proposed record;
  repeated rate_limiter.lease_grant;
begin
  returned := '{}';
  released := '{}';
  drawn := '{}';
  asked := '{}';
  perform rate_limiter_internal.check_amount(tokens, 'tokens');
  perform rate_limiter_internal.check_amount(bytes, 'bytes');
  open_lease := rate_limiter_internal.lock_spent_lease(
    shard_key, app_id, lease_id, spent_tokens, spent_bytes
  );
  admission := rate_limiter_internal.admission_of(shard_key, at, app_id);

  -- One that is over, or was lost with a server, gives nothing back.
  if open_lease.settled_at is null and open_lease.expires_at > at then
    settled := rate_limiter_internal.settle_lease_layer2(
      shard_key, at, app_id, lease_id, spent_tokens, spent_bytes
    );
    returned := settled.returned;
    released := settled.released;
  end if;
  buckets := rate_limiter_internal.lock_layer2(shard_key, at, app_id);
  perform rate_limiter_internal.heal_buckets(buckets, tokens > 0, bytes > 0);
  layer1 := array(
    select b::rate_limiter.token_buckets
    from unnest(rate_limiter_internal.buckets_at(
      shard_key, at, app_id, admission.cluster_id, admission.expected
    )) as b
    where rate_limiter_internal.lock_rank(b.bucket_type) > 1
  );
  proposed := rate_limiter_internal.propose_lease(
    shard_key, at, app_id, admission.cluster_id,
    buckets || rate_limiter_internal.with_full_layer1(layer1), tokens, bytes, lifetime, holder
  );
  lease := proposed.lease;
  if lease.retry_after_ms is distinct from 0 then
    -- What layer 2 cannot give may have to wait longer for layer 1, as it stands.
    lease.retry_after_ms := (rate_limiter_internal.propose_lease(
      shard_key, at, app_id, admission.cluster_id, buckets || layer1, tokens, bytes, lifetime,
      holder
    )).lease.retry_after_ms;
  end if;
  if next_lease_id is not null then
    if not rate_limiter_internal.has_layer2(buckets) then
      perform rate_limiter_internal.hold_application(shard_key, app_id);
    end if;
    repeated := rate_limiter_internal.repeat_grant(
      shard_key, at, app_id, next_lease_id, lease
    );
    if repeated.lease_id is not null then
      lease := repeated;
      return;
    end if;
  end if;
  if lease.tokens = 0 and lease.bytes = 0 then
    return;
  end if;
  lease.lease_id := next_lease_id;
  lease.lease_id := rate_limiter_internal.write_lease(
    shard_key, at, app_id, admission.cluster_id, buckets, lease, proposed.charged, holder
  );
  drawn := array(
    select c::rate_limiter_internal.bucket_charge
    from unnest(proposed.charged) as c
    where c.tokens > 0 and rate_limiter_internal.lock_rank(c.bucket_type) > 1
  );
  if exists (
    select from unnest(drawn) as d where rate_limiter_internal.lock_rank(d.bucket_type) = 3
  ) then
    perform rate_limiter_internal.raise_layer1_short();
  end if;
  asked := array(
    select row(
      d.shard_key, d.owner_id, d.bucket_type, d.mode,
      case when rate_limiter_internal.is_bandwidth(d.bucket_type) then renew_lease_layer2.bytes
        else renew_lease_layer2.tokens end
    )::rate_limiter_internal.bucket_charge
    from unnest(drawn) as d
  );
end;
$$;

comment on function rate_limiter_internal.renew_lease_layer2(
  integer, timestamptz, uuid, uuid, numeric, numeric, numeric, numeric, interval, text, uuid
) is
  'renew_lease(), or lease_tokens() where lease_id is null, of an application whose layer-2 '
  'buckets the caller has locked, as if layer 1 were full (with_full_layer1). Answers what the '
  'lease that ends gives back to layer 1 (returned, released: see settle_lease_layer2), and what '
  'the next takes of it (drawn) and asked for (asked): see draw_layer1_for.';
--! EndIncluded rate_limiter_internal/leases/renew_lease_layer2.sql
--! Included rate_limiter_internal/leases/grant_as_json.sql
create or replace function rate_limiter_internal.grant_as_json(
  shard_key integer,
  at timestamptz,
  app_id uuid,
  tokens numeric,
  bytes numeric,
  lease rate_limiter.lease_grant
)
returns jsonb
language plpgsql
stable
parallel safe
as $$
declare
  standing record;
begin
  standing := rate_limiter_internal.standing_at(
    shard_key, at, app_id, tokens - lease.tokens, bytes - lease.bytes
  );
  -- Numbers as text: they can have more digits than a double.
  return jsonb_strip_nulls(jsonb_build_object(
    'app_id', app_id,
    'lease_id', lease.lease_id,
    'tokens', lease.tokens::text,
    'bytes', lease.bytes::text,
    'lifetime_ms', lease.lifetime_ms::text,
    'retry_after_ms', lease.retry_after_ms::text,
    'holders', lease.holders::text,
    'is_limited_tokens', lease.is_limited_tokens,
    'is_limited_bytes', lease.is_limited_bytes,
    'remaining', standing.remaining::text,
    'remaining_bytes', standing.remaining_bytes::text,
    'short_of', case
      when lease.tokens < tokens and lease.is_limited_tokens
        or lease.bytes < bytes and lease.is_limited_bytes
      then standing.short_of
    end
  ));
end;
$$;

comment on function rate_limiter_internal.grant_as_json(
  integer, timestamptz, uuid, numeric, numeric, rate_limiter.lease_grant
) is
  'A grant of exchange_leases() as it is answered, with what the application''s buckets hold, and '
  'which of them was short of what was asked.';
--! EndIncluded rate_limiter_internal/leases/grant_as_json.sql
--! Included rate_limiter_internal/leases/renew_exchanged.sql
create or replace function rate_limiter_internal.renew_exchanged(
  renewals rate_limiter_internal.lease_renewal[],
  at timestamptz,
  busy_app_ids uuid[],
  lifetime interval,
  holder text,
  is_layer1_locked boolean,
  most integer default null,
  out answers jsonb,
  out returned rate_limiter_internal.bucket_charge[],
  out released rate_limiter_internal.bucket_charge[],
  out drawn rate_limiter_internal.bucket_charge[],
  out asked rate_limiter_internal.bucket_charge[]
)
language plpgsql
volatile
parallel unsafe
as $$
declare
  tried integer := 0;
  item rate_limiter_internal.lease_renewal;
  renewed record;
  lease rate_limiter.lease_grant;
begin
  answers := '[]';
  returned := '{}';
  released := '{}';
  drawn := '{}';
  asked := '{}';
  foreach item in array renewals loop
    if item.app_id = any (busy_app_ids) or tried >= most then
      answers := answers || jsonb_build_object('app_id', item.app_id, 'is_busy', true);
      continue;
    end if;
    tried := tried + 1;
    begin
      perform rate_limiter_internal.record_denials(item.shard_key, item.app_id, item.denials);
      if not is_layer1_locked then
        renewed := rate_limiter_internal.renew_lease_layer2(
          item.shard_key, at, item.app_id, item.lease_id, item.spent_tokens, item.spent_bytes,
          item.tokens,
          item.bytes, lifetime, holder, item.next_lease_id
        );
        lease := renewed.lease;
        returned := returned || renewed.returned;
        released := released || renewed.released;
        drawn := drawn || renewed.drawn;
        asked := asked || renewed.asked;
      elsif item.lease_id is null then
        lease := rate_limiter_internal.lease_tokens_at(
          item.shard_key, at, item.app_id, item.tokens, item.bytes, lifetime, holder,
          item.next_lease_id
        );
      else
        lease := rate_limiter_internal.renew_lease_at(
          item.shard_key, at, item.app_id, item.lease_id, item.spent_tokens, item.spent_bytes,
          item.tokens,
          item.bytes, lifetime, holder, next_lease_id => item.next_lease_id
        );
      end if;
      answers := answers || rate_limiter_internal.grant_as_json(
        item.shard_key, at, item.app_id, item.tokens, item.bytes, lease
      );
    exception
      when sqlstate 'QS403' or sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS410'
        or sqlstate 'QS422'
      then
        answers := answers || jsonb_build_object(
          'app_id', item.app_id, 'code', sqlstate, 'message', sqlerrm
        );
    end;
  end loop;
end;
$$;

comment on function rate_limiter_internal.renew_exchanged(
  rate_limiter_internal.lease_renewal[], timestamptz, uuid[], interval, text, boolean, integer
) is
  'The renewals of exchange_leases() and their answers: as far as layer 2 goes (see '
  'renew_lease_layer2), or all of it, where layer 1 is locked. Those after so many (most) are '
  'busy.';
--! EndIncluded rate_limiter_internal/leases/renew_exchanged.sql
--! Included rate_limiter_internal/leases/layer1_of_exchange.sql
create or replace function rate_limiter_internal.layer1_of_exchange(
  renewals rate_limiter_internal.lease_renewal[]
)
returns rate_limiter_internal.bucket_charge[]
language plpgsql
stable
parallel safe
as $$
declare
  owners rate_limiter_internal.bucket_charge[];
begin
  -- The applications, for their reserves, and the clusters that they are on and were on.
  owners := array(
    select row(r.shard_key, r.app_id, null, null, 0)::rate_limiter_internal.bucket_charge
    from unnest(renewals) as r
    union all
    select row(f.shard_key, f.cluster_id, null, null, 0)::rate_limiter_internal.bucket_charge
    from unnest(renewals) as r
    join rate_limiter.app_facts as f on f.shard_key = r.shard_key and f.app_id = r.app_id
  );
  owners := owners || array(
    select row(c.shard_key, c.owner_id, null, null, 0)::rate_limiter_internal.bucket_charge
    from unnest(renewals) as r
    join rate_limiter.token_leases as l
      on l.shard_key = r.shard_key and l.app_id = r.app_id and l.lease_id = r.lease_id
    cross join lateral unnest(l.charged) as c
  );
  return array(
    select row(
      b.shard_key, b.owner_id, b.bucket_type, b.mode, 0
    )::rate_limiter_internal.bucket_charge
    from (select distinct o.shard_key, o.owner_id from unnest(owners) as o) as o
    join rate_limiter.token_buckets as b on b.shard_key = o.shard_key and b.owner_id = o.owner_id
    where rate_limiter_internal.lock_rank(b.bucket_type) > 1
  );
end;
$$;

comment on function rate_limiter_internal.layer1_of_exchange(
  rate_limiter_internal.lease_renewal[]
) is
  'The layer-1 buckets and reserves that renewals of leases may touch, of clusters which their '
  'applications have left, too.';
--! EndIncluded rate_limiter_internal/leases/layer1_of_exchange.sql
--! Included rate_limiter_internal/leases/exchange_leases_at.sql
create or replace function rate_limiter_internal.exchange_leases_at(
  renewals rate_limiter_internal.lease_renewal[],
  settlements rate_limiter_internal.lease_end[],
  charges rate_limiter_internal.owed_charge[],
  at timestamptz,
  lifetime interval default null,
  holder text default null,
  waits boolean default true
)
returns jsonb
language plpgsql
volatile
parallel unsafe
as $$
declare
  most_under_layer1 constant integer := 16;
  busy_app_ids uuid[];
  moment timestamptz;
  layer1 rate_limiter_internal.bucket_charge[];
  recorded record;
  owed record;
  settled record;
  renewed record;
  answers jsonb;
begin
  busy_app_ids := rate_limiter_internal.lock_exchange(renewals, settlements, charges, waits);
  moment := coalesce(at, clock_timestamp());
  select coalesce(jsonb_agg(
    jsonb_build_object('app_id', c.app_id, 'key', c.key, 'is_busy', true)
  ), '[]') into answers
  from unnest(charges) as c
  where c.app_id = any (busy_app_ids);

  -- All siblings wait for layer 1: it is locked when all else is done.
  recorded := rate_limiter_internal.record_owed_many(
    array(
      select c::rate_limiter_internal.owed_charge
      from unnest(charges) as c
      where c.app_id <> all (busy_app_ids)
    ),
    moment
  );
  owed := rate_limiter_internal.charge_layer2_owed(moment, recorded.made, recorded.lowered);
  settled := rate_limiter_internal.settle_layer2_exchanged(settlements, moment);
  if not rate_limiter_internal.shares_leases(renewals, moment) then
    begin
      renewed := rate_limiter_internal.renew_exchanged(
        renewals, moment, busy_app_ids, lifetime, holder, false
      );
      moment := rate_limiter_internal.lock_layer1_owed(
        at, owed.made,
        owed.returned || settled.returned || renewed.returned || renewed.drawn
          || settled.released || renewed.released
      );
      perform rate_limiter_internal.charge_layer1_owed(
        moment, owed.made, owed.items, owed.returned || settled.returned || renewed.returned
      );
      perform rate_limiter_internal.release_leased(settled.released || renewed.released);
      perform rate_limiter_internal.draw_layer1_for(
        moment, 'lease', renewed.drawn, renewed.asked
      );
      return answers || renewed.answers;
    exception
      when sqlstate 'QS425' then
        null;
    end;
  end if;

  -- Where each lease depends on what the one before it left in layer 1, a few are renewed under
  -- its lock, and the others come alone.
  layer1 := rate_limiter_internal.layer1_of_exchange(array(
    select row(
      r.shard_key, r.app_id, r.lease_id, r.spent_tokens, r.spent_bytes, r.tokens, r.bytes,
      r.denials, r.next_lease_id
    )::rate_limiter_internal.lease_renewal
    from unnest(renewals) with ordinality as r
    where r.app_id <> all (busy_app_ids)
    order by r.ordinality
    limit most_under_layer1
  ));
  moment := rate_limiter_internal.lock_layer1_owed(
    at, owed.made, layer1 || owed.returned || settled.returned || settled.released
  );
  perform rate_limiter_internal.charge_layer1_owed(
    moment, owed.made, owed.items, owed.returned || settled.returned
  );
  perform rate_limiter_internal.release_leased(settled.released);
  renewed := rate_limiter_internal.renew_exchanged(
    renewals, moment, busy_app_ids, lifetime, holder, true, most_under_layer1
  );
  return answers || renewed.answers;
end;
$$;

comment on function rate_limiter_internal.exchange_leases_at(
  rate_limiter_internal.lease_renewal[], rate_limiter_internal.lease_end[],
  rate_limiter_internal.owed_charge[], timestamptz, interval, text, boolean
) is
  'exchange_leases() at a moment of the caller''s choice, null for live: by the clock, once layer '
  '2 is locked and again once layer 1 is.';
--! EndIncluded rate_limiter_internal/leases/exchange_leases_at.sql
--! Included rate_limiter/leases/exchange_leases.sql
create or replace function rate_limiter.exchange_leases(
  renewals jsonb,
  settlements jsonb,
  charges jsonb,
  lifetime interval default null,
  holder text default null,
  waits boolean default true
)
returns jsonb
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  asked rate_limiter_internal.lease_renewal[];
  ending rate_limiter_internal.lease_end[];
  owed rate_limiter_internal.owed_charge[];
  asked_of record;
begin
  perform rate_limiter_internal.require_read_committed();
  perform rate_limiter_internal.follow_durability();
  if jsonb_typeof(renewals) is distinct from 'array'
    or jsonb_typeof(settlements) is distinct from 'array'
    or jsonb_typeof(charges) is distinct from 'array'
    or jsonb_array_length(renewals || settlements || charges) not between 1 and 1000
    or jsonb_path_exists(renewals || settlements || charges, '$[*] ? (@.type() <> "object")')
  then
    raise exception using
      errcode = 'QS422',
      message = 'exchange is not of 1 to 1000 entries',
      detail = format('renewals: %s', jsonb_typeof(renewals)),
      hint = 'Give three JSON arrays of objects, and split larger exchanges: other decisions wait '
        'for them.';
  end if;
  if exists (
    select
    from jsonb_to_recordset(renewals) as r (app_id uuid)
    group by r.app_id
    having count(*) > 8
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'exchange names an application too often',
      detail = format('renewals: %s', jsonb_array_length(renewals)),
      hint = 'Renew at most 8 leases of an application in one exchange: others wait for it.';
  end if;
  if exists (
    select
    from jsonb_to_recordset(renewals) as r (next_lease_id uuid)
    where r.next_lease_id is not null
    group by r.next_lease_id
    having count(*) > 1
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'exchange names a lease twice',
      detail = format('renewals: %s', jsonb_array_length(renewals)),
      hint = 'Each renewal needs a next_lease_id of its own: an id is one lease.';
  end if;
  perform rate_limiter_internal.check_holder(holder);
  perform rate_limiter_internal.check_idempotency_keys(
    array(select c.key from jsonb_to_recordset(charges) as c (key text))
  );
  -- Before anything is locked, in the order of the applications.
  for asked_of in
    select f.shard_key, r.app_id, r.demand
    from jsonb_to_recordset(renewals || settlements) as r (app_id uuid, demand jsonb)
    join rate_limiter.app_facts as f on f.app_id = r.app_id
    where r.demand is not null
    order by r.app_id
  loop
    perform rate_limiter_internal.record_demand(
      asked_of.shard_key, asked_of.app_id, asked_of.demand
    );
  end loop;
  asked := array(
    select row(
      f.shard_key, r.app_id, r.lease_id, r.spent_tokens, r.spent_bytes, r.tokens, r.bytes,
      r.denials, r.next_lease_id
    )::rate_limiter_internal.lease_renewal
    from rows from (
      jsonb_to_recordset(renewals) as (
        app_id uuid, lease_id uuid, spent_tokens numeric, spent_bytes numeric, tokens numeric,
        bytes numeric, denials jsonb, next_lease_id uuid
      )
    ) with ordinality as r
    left join rate_limiter.app_facts as f on f.app_id = r.app_id
    order by r.ordinality
  );
  ending := array(
    select row(
      f.shard_key, s.app_id, s.lease_id, s.spent_tokens, s.spent_bytes, s.denials
    )::rate_limiter_internal.lease_end
    from rows from (
      jsonb_to_recordset(settlements) as (
        app_id uuid, lease_id uuid, spent_tokens numeric, spent_bytes numeric, denials jsonb
      )
    ) with ordinality as s
    left join rate_limiter.app_facts as f on f.app_id = s.app_id
    order by s.ordinality
  );
  owed := array(
    select row(f.shard_key, c.app_id, c.tokens, c.bytes, c.key)::rate_limiter_internal.owed_charge
    from rows from (
      jsonb_to_recordset(charges) as (app_id uuid, tokens numeric, bytes numeric, key text)
    ) with ordinality as c
    left join rate_limiter.app_facts as f on f.app_id = c.app_id
    order by c.ordinality
  );
  return rate_limiter_internal.exchange_leases_at(
    asked, ending, owed, null, lifetime, holder, waits
  );
end;
$$;

comment on function rate_limiter.exchange_leases(
  jsonb, jsonb, jsonb, interval, text, boolean
) is
  'All that a holder of many applications'' leases has to say, in one call: charges of what is '
  'owed ({app_id, tokens, bytes, key}, as charge_owed_many()), leases that end ({app_id, '
  'lease_id, spent_tokens, spent_bytes, denials, demand}, as settle_lease(); one that is over '
  'counts as spent) and renewals ({app_id, lease_id, spent_tokens, spent_bytes, tokens, bytes, '
  'denials, demand, next_lease_id}, as renew_lease(), or as lease_tokens() without lease_id). '
  'Answers the grants in their order, each with app_id, what the application''s buckets hold '
  '(remaining, remaining_bytes) and the bucket that was short (short_of); code and message where '
  'it was refused; is_busy, unless waits, where another transaction holds the application''s '
  'buckets, with key for a charge that was not made then: ask for it alone. Raises QS422 for more '
  'than 8 renewals of an application, a next_lease_id that is there twice, and for anything else.';
grant execute on function rate_limiter.exchange_leases(
  jsonb, jsonb, jsonb, interval, text, boolean
)
  to rate_limiter_app;
--! EndIncluded rate_limiter/leases/exchange_leases.sql
