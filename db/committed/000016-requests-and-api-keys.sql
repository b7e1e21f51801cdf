--! Previous: sha1:5ca50082ba1db7050cf001e45667ec91c285e42c
--! Hash: sha1:f3e3893a127246a0e8466f557a45f7b78fe976f4
--! Message: requests and api keys

-- Requests
--! Included rate_limiter_internal/requests/require_batch.sql
create or replace function rate_limiter_internal.require_batch(entries integer)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if entries is null or entries not between 1 and 10000 then
    raise exception using
      errcode = 'QS422',
      message = 'batch is not of 1 to 10000 entries',
      detail = format('entries: %s', coalesce(entries, 0)),
      hint = 'Split it.';
  end if;
end;
$$;

comment on function rate_limiter_internal.require_batch(integer) is
  'Refuses a batch of the admin API that is empty or too large.';
--! EndIncluded rate_limiter_internal/requests/require_batch.sql
--! Included rate_limiter_internal/requests/problem.sql
create or replace function rate_limiter_internal.problem(
  entry integer,
  code text,
  message text,
  detail text
)
returns jsonb
language sql
immutable
parallel safe
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'entry', problem.entry,
    'code', said.code,
    'message', said.message,
    -- PostgreSQL's own names tables and shows rows.
    'detail', case when problem.code = said.code then nullif(problem.detail, '') end
  ))
  from (
    select
      case
        when problem.code like 'QS%' then problem.code
        when problem.code = '42501' then 'QS403'
        when problem.code in ('23503', '23505') then 'QS409'
        else 'QS422'
      end as code,
      case problem.code
        when '42501' then 'permission denied'
        when '23503' then 'something else refers to it, or it refers to nothing'
        when '23505' then 'already exists'
        when '23502' then 'value is missing'
        when '22001' then 'value is too long'
        else case
          when problem.code like 'QS%' then problem.message
          else 'value is out of bounds'
        end
      end as message
  ) as said;
$$;

comment on function rate_limiter_internal.problem(integer, text, text, text) is
  'Why an entry of a batch is refused: with the codes of PostgreSQL in words of the API.';
grant execute on function rate_limiter_internal.problem(integer, text, text, text)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/requests/problem.sql
--! Included rate_limiter_internal/requests/most_problems.sql
create or replace function rate_limiter_internal.most_problems()
returns integer
language sql
immutable
parallel safe
return 100;

comment on function rate_limiter_internal.most_problems() is
  'How many entries of a batch that are refused are told: each of them took a subtransaction.';
grant execute on function rate_limiter_internal.most_problems() to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/requests/most_problems.sql
--! Included rate_limiter_internal/requests/refuse_batch.sql
create or replace function rate_limiter_internal.refuse_batch(problems jsonb)
returns void
language plpgsql
immutable
parallel safe
as $$
begin
  if problems = '[]' then
    -- What was in the way of all together is not there any more.
    raise exception using
      errcode = 'QS409',
      message = 'row was changed concurrently',
      hint = 'Try again.';
  end if;
  raise exception using
    errcode = 'QS422',
    message = 'batch is refused',
    detail = problems,
    hint = 'Nothing of it was done. Entries count from 1.';
end;
$$;

comment on function rate_limiter_internal.refuse_batch(jsonb) is
  'Refuses a batch, with what is wrong with its entries as DETAIL.';
grant execute on function rate_limiter_internal.refuse_batch(jsonb) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/requests/refuse_batch.sql
--! Included rate_limiter_private/requests/claim_request.sql
create or replace function rate_limiter_private.claim_request(
  user_id uuid,
  key_hash bytea,
  request_hash bytea,
  out is_new boolean,
  out answer bytea
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  kept rate_limiter_private.kept_answers;
begin
  perform rate_limiter_internal.require_read_committed();

  loop
    -- Waits for a transaction that makes the same request, until it is committed or rolled back.
    insert into rate_limiter_private.kept_answers as a (user_id, key_hash, request_hash)
    values (claim_request.user_id, claim_request.key_hash, claim_request.request_hash)
    on conflict on constraint kept_answers_pkey do nothing;
    is_new := found;
    exit when is_new;

    select a.* into kept
    from rate_limiter_private.kept_answers as a
    where a.user_id = claim_request.user_id
      and a.key_hash = claim_request.key_hash;
    exit when found;
  end loop;

  if kept.request_hash <> claim_request.request_hash then
    raise exception using
      errcode = 'QS422',
      message = 'idempotency key is of another request',
      hint = 'Choose a new key for each change, and repeat a request unchanged.';
  end if;
  answer := kept.answer;
end;
$$;

comment on function rate_limiter_private.claim_request(uuid, bytea, bytea) is
  'Takes an idempotency key of a user for the transaction, which keeps its answer by keep_answer; '
  'or answers what was kept for it. One request at a time has a key.';
grant execute on function rate_limiter_private.claim_request(uuid, bytea, bytea)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/requests/claim_request.sql
--! Included rate_limiter_private/requests/keep_answer.sql
create or replace function rate_limiter_private.keep_answer(
  user_id uuid,
  key_hash bytea,
  answer bytea
)
returns void
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  update rate_limiter_private.kept_answers as a
  set answer = keep_answer.answer
  where a.user_id = keep_answer.user_id
    and a.key_hash = keep_answer.key_hash;
$$;

comment on function rate_limiter_private.keep_answer(uuid, bytea, bytea) is
  'Keeps the answer of the request that has the idempotency key, in its transaction.';
grant execute on function rate_limiter_private.keep_answer(uuid, bytea, bytea)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/requests/keep_answer.sql
--! Included rate_limiter_private/requests/changes_of_transaction.sql
create or replace function rate_limiter_private.changes_of_transaction(max_rows integer)
returns table (
  action text,
  entity_type text,
  entity_id uuid,
  old_values jsonb,
  new_values jsonb
)
language sql
stable
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select l.action, l.entity_type, l.entity_id, l.old_values, l.new_values
  from rate_limiter_audit.audit_logs as l
  where l.created_at >= transaction_timestamp()
    and l.request_id = rate_limiter_internal.context_text('request_id')
    and l.user_id = rate_limiter_internal.context_text('user_id')::uuid
  order by l.created_at, l.log_id
  limit changes_of_transaction.max_rows;
$$;

comment on function rate_limiter_private.changes_of_transaction(integer) is
  'What a request has changed so far, in the words of the audit.';
grant execute on function rate_limiter_private.changes_of_transaction(integer)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/requests/changes_of_transaction.sql

-- API keys
--! Included rate_limiter_private/api_keys/issue_api_key.sql
create or replace function rate_limiter_private.issue_api_key(
  app_id uuid,
  name text default null,
  expires_at timestamptz default null,
  out api_key_id uuid,
  out api_key text,
  out prefix text
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
begin
  if issue_api_key.expires_at <= clock_timestamp() then
    raise exception using
      errcode = 'QS422',
      message = 'api key would already have expired',
      detail = format('expires at: %s', issue_api_key.expires_at),
      hint = 'Give a moment in the future, or none.';
  end if;

  api_key := 'qos_' || rate_limiter_internal.random_token();
  prefix := left(api_key, 12);

  insert into rate_limiter_private.api_keys as k
    (key_hash, app_id, shard_key, prefix, name, created_by, expires_at)
  values (
    rate_limiter_internal.token_hash(issue_api_key.api_key),
    issue_api_key.app_id,
    rate_limiter_internal.app_shard_key(issue_api_key.app_id),
    issue_api_key.prefix,
    issue_api_key.name,
    rate_limiter_internal.current_user_id(),
    issue_api_key.expires_at
  )
  returning k.api_key_id into api_key_id;
end;
$$;

comment on function rate_limiter_private.issue_api_key(uuid, text, timestamptz) is
  'Makes a key for an application. The answer is the only place where the key is ever shown.';
--! EndIncluded rate_limiter_private/api_keys/issue_api_key.sql
--! Included rate_limiter_private/api_keys/register_access_key.sql
create or replace function rate_limiter_private.register_access_key(
  app_id uuid,
  access_key_id text,
  name text default null,
  expires_at timestamptz default null,
  out api_key_id uuid,
  out prefix text
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
declare
  at constant timestamptz := clock_timestamp();
  hash constant bytea := rate_limiter_internal.token_hash(register_access_key.access_key_id);
  known rate_limiter_private.api_keys;
begin
  -- No detail in any error: what was sent may be a secret by mistake.
  if access_key_id is null
    or access_key_id !~ '^[!-~]{1,128}$'
    or starts_with(access_key_id, 'qos_')
  then
    raise exception using
      errcode = 'QS422',
      message = 'access key id does not fit',
      hint = 'Give 1 to 128 visible ASCII characters that do not begin with qos_.';
  end if;

  if register_access_key.expires_at <= at then
    raise exception using
      errcode = 'QS422',
      message = 'api key would already have expired',
      detail = format('expires at: %s', register_access_key.expires_at),
      hint = 'Give a moment in the future, or none.';
  end if;

  perform rate_limiter_internal.required_shard_key(register_access_key.app_id);

  select k.*
  into known
  from rate_limiter_private.api_keys as k
  where k.key_hash = hash
  for update;

  if known.suspended_until > at then
    raise exception using
      errcode = 'QS409',
      message = 'api key is suspended',
      detail = format('api key: %s', known.api_key_id),
      hint = 'Have the suspension lifted first, or revoke the key.';
  elsif known.revoked_at <= at or known.expires_at <= at then
    delete from rate_limiter_private.api_keys as k where k.key_hash = hash;
  end if;

  prefix := left(access_key_id, least(12, greatest(1, length(access_key_id) / 2)));
  insert into rate_limiter_private.api_keys as k
    (key_hash, app_id, shard_key, prefix, is_registered, name, created_by, expires_at)
  values (
    hash,
    register_access_key.app_id,
    rate_limiter_internal.app_shard_key(register_access_key.app_id),
    register_access_key.prefix,
    true,
    register_access_key.name,
    rate_limiter_internal.current_user_id(),
    register_access_key.expires_at
  )
  on conflict (key_hash) do nothing
  returning k.api_key_id into api_key_id;

  -- Not whose: an id may be another tenant's.
  if not found then
    raise exception using
      errcode = 'QS409',
      message = 'access key id is already registered',
      hint = 'An id is of one application: revoke its key first.';
  end if;
end;
$$;

comment on function rate_limiter_private.register_access_key(uuid, text, text, timestamptz) is
  'Makes an access key id that the storage issued a key of an application. An id whose key was '
  'revoked or has expired can be registered again. Stores no more than half of the id in clear.';
--! EndIncluded rate_limiter_private/api_keys/register_access_key.sql
--! Included rate_limiter_private/api_keys/import_access_keys.sql
create or replace function rate_limiter_private.import_access_keys(
  entries jsonb,
  out registered integer,
  out unchanged integer
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
declare
  most_entries constant integer := 1000;
  most_told constant integer := 100;
  entry jsonb;
  place bigint;
  code text;
  problem text;
  problems jsonb := '[]';
begin
  if entries is null or jsonb_typeof(entries) <> 'array'
    or jsonb_array_length(entries) not between 1 and most_entries
  then
    raise exception using
      errcode = 'QS422',
      message = 'batch is not of 1 to 1000 access keys',
      hint = 'Access keys come as a JSON array of objects: split it.';
  end if;

  registered := 0;
  unchanged := 0;
  for entry, place in
    select e.value, e.ordinality
    from jsonb_array_elements(entries) with ordinality as e
  loop
    -- A subtransaction for each entry: one that is refused does not hide the others' errors.
    begin
      if exists (
        select
        from rate_limiter_private.api_keys as k
        where k.key_hash = rate_limiter_internal.token_hash(entry ->> 'access_key_id')
          and k.app_id = (entry ->> 'app_id')::uuid
          and k.is_registered
          and (k.expires_at is null or k.expires_at > clock_timestamp())
          and k.revoked_at is null
      ) then
        unchanged := unchanged + 1;
      else
        perform rate_limiter_private.register_access_key(
          (entry ->> 'app_id')::uuid,
          entry ->> 'access_key_id',
          entry ->> 'name',
          (entry ->> 'expires_at')::timestamptz
        );
        registered := registered + 1;
      end if;
    exception
      when sqlstate 'QS404' or sqlstate 'QS409' or sqlstate 'QS422' then
        get stacked diagnostics code = returned_sqlstate, problem = message_text;
        problems := problems
          || jsonb_build_object('entry', place, 'code', code, 'message', problem);
      when invalid_text_representation or invalid_datetime_format or datetime_field_overflow
        or string_data_right_truncation
      then
        problems := problems || jsonb_build_object(
          'entry', place, 'code', 'QS422', 'message', 'access key entry is malformed'
        );
    end;
  end loop;

  if problems <> '[]' then
    raise exception using
      errcode = 'QS422',
      message = 'access keys are refused',
      detail = jsonb_build_object(
        'refused', jsonb_array_length(problems),
        'first', (
          select jsonb_agg(p.value order by p.ordinality)
          from jsonb_array_elements(problems) with ordinality as p
          where p.ordinality <= most_told
        )
      ),
      hint = 'None of the batch was registered. Each entry has app_id, access_key_id and, where '
        'wanted, name and expires_at.';
  end if;
end;
$$;

comment on function rate_limiter_private.import_access_keys(jsonb) is
  'Registers a batch of access key ids, all or none: an array of objects with app_id, '
  'access_key_id, name and expires_at. An id that the same application has already stays as it is. '
  'DETAIL of the error is JSON: how many entries are refused, and the first hundred of them.';
--! EndIncluded rate_limiter_private/api_keys/import_access_keys.sql
--! Included rate_limiter_private/api_keys/require_live_api_key.sql
create or replace function rate_limiter_private.require_live_api_key(
  api_key_id uuid,
  is_to_lock boolean default true
)
returns rate_limiter_private.api_keys
language plpgsql
volatile
parallel unsafe
as $$
declare
  live_key rate_limiter_private.api_keys;
begin
  perform rate_limiter_internal.require_permission('application', 'update');

  select k.*
  into live_key
  from rate_limiter_private.api_keys as k
  join rate_limiter.applications as a on a.app_id = k.app_id
  where k.api_key_id = require_live_api_key.api_key_id
    and (
      rate_limiter_internal.is_system_admin()
      or a.tenant_id = rate_limiter_internal.current_tenant_id()
    );
  if found and is_to_lock then
    select k.*
    into live_key
    from rate_limiter_private.api_keys as k
    where k.api_key_id = require_live_api_key.api_key_id
    for no key update;
  end if;

  if live_key.api_key_id is null then
    raise exception using
      errcode = 'QS404',
      message = 'unknown api key',
      detail = format('api key: %s', require_live_api_key.api_key_id),
      hint = 'Check the id: it is not the key itself.';
  end if;

  if live_key.revoked_at is not null or live_key.expires_at <= clock_timestamp() then
    raise exception using
      errcode = 'QS410',
      message = 'api key no longer works',
      detail = format('api key: %s', require_live_api_key.api_key_id),
      hint = 'Make a new one.';
  end if;

  return live_key;
end;
$$;

comment on function rate_limiter_private.require_live_api_key(uuid, boolean) is
  'A key that works and that the signed-in user may change, locked unless it is not to be; refuses '
  'any other.';
--! EndIncluded rate_limiter_private/api_keys/require_live_api_key.sql
--! Included rate_limiter_admin/api_keys/create_api_key.sql
create or replace function rate_limiter_admin.create_api_key(
  app_id uuid,
  name text default null,
  expires_at timestamptz default null,
  out api_key_id uuid,
  out api_key text,
  out prefix text
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_application(
    create_api_key.app_id, 'application', 'update'
  );

  select k.api_key_id, k.api_key, k.prefix
  into api_key_id, api_key, prefix
  from rate_limiter_private.issue_api_key(
    create_api_key.app_id, create_api_key.name, create_api_key.expires_at
  ) as k;
end;
$$;

comment on function rate_limiter_admin.create_api_key(uuid, text, timestamptz) is
  'Makes a further key for an application. The key is shown this once; keep it.';
grant execute on function rate_limiter_admin.create_api_key(uuid, text, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/api_keys/create_api_key.sql
--! Included rate_limiter_admin/api_keys/register_access_key.sql
create or replace function rate_limiter_admin.register_access_key(
  app_id uuid,
  access_key_id text,
  name text default null,
  expires_at timestamptz default null,
  out api_key_id uuid,
  out prefix text
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- An id is not a secret: a tenant that registered another one's id would be charged for, and
  -- could slow down, requests that are not its own.
  perform rate_limiter_internal.require_system_admin('application', 'update');
  perform rate_limiter_internal.require_application(
    register_access_key.app_id, 'application', 'update'
  );

  select k.api_key_id, k.prefix
  into api_key_id, prefix
  from rate_limiter_private.register_access_key(
    register_access_key.app_id, register_access_key.access_key_id, register_access_key.name,
    register_access_key.expires_at
  ) as k;
end;
$$;

comment on function rate_limiter_admin.register_access_key(uuid, text, text, timestamptz) is
  'Makes an access key id that the storage issued (AKIA…) a key of an application: requests that '
  'are signed with it are charged to the application. 1 to 128 visible ASCII characters. Revoke it '
  'as any other key; it is rotated at the storage. For system administrators.';
grant execute on function rate_limiter_admin.register_access_key(uuid, text, text, timestamptz)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/api_keys/register_access_key.sql
--! Included rate_limiter_admin/api_keys/import_access_keys.sql
create or replace function rate_limiter_admin.import_access_keys(
  entries rate_limiter_admin.new_access_key[],
  out registered integer,
  out unchanged integer
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_system_admin('application', 'update');

  select i.registered, i.unchanged
  into registered, unchanged
  from rate_limiter_private.import_access_keys(to_jsonb(entries)) as i;
end;
$$;

comment on function rate_limiter_admin.import_access_keys(rate_limiter_admin.new_access_key[]) is
  'registerAccessKey for 1 to 1,000 ids, all or none. An id that the same application has already '
  'stays as it is. Where entries are refused, detail says which and why, as JSON. For system '
  'administrators.';
grant execute on function rate_limiter_admin.import_access_keys(
  rate_limiter_admin.new_access_key[]
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/api_keys/import_access_keys.sql
--! Included rate_limiter_admin/api_keys/rotate_api_key.sql
create or replace function rate_limiter_admin.rotate_api_key(
  api_key_id uuid,
  overlap interval default null,
  out new_api_key_id uuid,
  out api_key text,
  out prefix text,
  out old_key_expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  old_key rate_limiter_private.api_keys;
begin
  old_key := rate_limiter_private.require_live_api_key(rotate_api_key.api_key_id);

  if old_key.is_registered then
    raise exception using
      errcode = 'QS409',
      message = 'access key is rotated at the storage',
      detail = format('api key: %s', rotate_api_key.api_key_id),
      hint = 'Register the id that the storage issues next, and revoke this one.';
  end if;

  -- Else a new key would be a way around the suspension of the old one.
  if old_key.suspended_until > clock_timestamp() then
    raise exception using
      errcode = 'QS409',
      message = 'api key is suspended',
      detail = format('api key: %s', rotate_api_key.api_key_id),
      hint = 'Have the suspension lifted first, or revoke the key.';
  end if;

  if rotate_api_key.overlap < interval '0' then
    raise exception using
      errcode = 'QS422',
      message = 'overlap is negative',
      detail = format('overlap: %s', rotate_api_key.overlap),
      hint = 'Give zero to stop the old key at once.';
  end if;

  select k.api_key_id, k.api_key, k.prefix
  into new_api_key_id, api_key, prefix
  from rate_limiter_private.issue_api_key(old_key.app_id, old_key.name) as k;

  update rate_limiter_private.api_keys as k
  -- least() ignores a null: a key without an end gets one.
  set expires_at = least(
    k.expires_at,
    clock_timestamp() + coalesce(
      rotate_api_key.overlap,
      rate_limiter_internal.setting_interval_seconds('api_key_rotation_overlap_seconds')
    )
  )
  where k.api_key_id = rotate_api_key.api_key_id
  returning k.expires_at into old_key_expires_at;
end;
$$;

comment on function rate_limiter_admin.rotate_api_key(uuid, interval) is
  'Replaces a key. The new one is shown this once; the old one works on for the overlap, by '
  'default that of the setting api_key_rotation_overlap_seconds.';
grant execute on function rate_limiter_admin.rotate_api_key(uuid, interval)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/api_keys/rotate_api_key.sql
--! Included rate_limiter_admin/api_keys/revoke_api_key.sql
create or replace function rate_limiter_admin.revoke_api_key(api_key_id uuid)
returns timestamptz
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  moment timestamptz;
begin
  perform rate_limiter_private.require_live_api_key(revoke_api_key.api_key_id);

  update rate_limiter_private.api_keys as k
  set revoked_at = clock_timestamp(), revoked_by = rate_limiter_internal.current_user_id()
  where k.api_key_id = revoke_api_key.api_key_id
  returning k.revoked_at into moment;

  return moment;
end;
$$;

comment on function rate_limiter_admin.revoke_api_key(uuid) is
  E'@resultFieldName revokedAt\n'
  'Takes a key back, at once and for good; answers the moment.';
grant execute on function rate_limiter_admin.revoke_api_key(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/api_keys/revoke_api_key.sql
--! Included rate_limiter_internal/api_keys/application_of_key_at.sql
create or replace function rate_limiter_internal.application_of_key_at(
  at timestamptz,
  api_key text,
  out app_id uuid,
  out shard_key integer
)
language plpgsql
stable
parallel safe
as $$
declare
  expires_at timestamptz;
  revoked_at timestamptz;
  suspended_until timestamptz;
begin
  select k.app_id, k.shard_key, k.expires_at, k.revoked_at, k.suspended_until
  into app_id, shard_key, expires_at, revoked_at, suspended_until
  from rate_limiter_private.api_keys as k
  where k.key_hash = sha256(convert_to(api_key, 'UTF8'));

  -- No detail: what was sent may be a secret of something else.
  if app_id is null then
    raise exception using
      errcode = 'QS401',
      message = 'unknown api key',
      hint = 'Check the key, or have a new one made.';
  elsif revoked_at <= at then
    raise exception using
      errcode = 'QS401',
      message = 'api key is revoked',
      hint = 'Have a new key made.';
  elsif expires_at <= at then
    raise exception using
      errcode = 'QS401',
      message = 'api key has expired',
      hint = 'Use the key that replaced it, or have a new one made.';
  elsif suspended_until > at then
    raise exception using
      errcode = 'QS401',
      message = 'api key is suspended',
      hint = 'The operator of the clusters says why, and until when.';
  end if;
end;
$$;

comment on function rate_limiter_internal.application_of_key_at(timestamptz, text) is
  'application_of_key() at a moment of the caller''s choice, and where decisions look for the '
  'application first.';
--! EndIncluded rate_limiter_internal/api_keys/application_of_key_at.sql
--! Included rate_limiter/api_keys/application_of_key.sql
create or replace function rate_limiter.application_of_key(
  api_key text
)
returns uuid
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (rate_limiter_internal.application_of_key_at(clock_timestamp(), api_key)).app_id;
end;
$$;

comment on function rate_limiter.application_of_key(text) is
  'The application that an API key opens, or a registered access key id, which counts only in a '
  'request whose signature is verified. Raises QS401 for a key that is unknown, expired or '
  'revoked.';
grant execute on function rate_limiter.application_of_key(text)
  to rate_limiter_app;
--! EndIncluded rate_limiter/api_keys/application_of_key.sql
--! Included rate_limiter_admin/api_keys/api_keys.sql
-- The table holds hashes and is granted to no role: this view runs as its owner, shows the rest
-- and filters by itself.
create or replace view rate_limiter_admin.api_keys
with (security_barrier = true) as
select
  k.api_key_id,
  k.app_id,
  k.prefix,
  k.name,
  k.created_at,
  k.created_by,
  k.expires_at,
  k.revoked_at,
  k.revoked_by,
  k.suspended_until,
  k.is_registered
from rate_limiter_private.api_keys as k
join rate_limiter.applications as a on a.app_id = k.app_id
where (select rate_limiter_internal.may('application', 'read'))
  and (
    (select rate_limiter_internal.is_system_admin())
    or a.tenant_id = (select rate_limiter_internal.current_tenant_id())
  );

comment on view rate_limiter_admin.api_keys is
  E'@primaryKey api_key_id\n'
  '@foreignKey (app_id) references rate_limiter.applications (app_id)|'
  '@fieldName application|@foreignFieldName apiKeys\n'
  'The keys of your tenant''s applications, by their first characters.';
comment on column rate_limiter_admin.api_keys.api_key_id is 'Names the key.';
comment on column rate_limiter_admin.api_keys.app_id is 'The application that it opens.';
comment on column rate_limiter_admin.api_keys.prefix is
  'First 12 characters of the key; of a registered access key id at most the first half.';
comment on column rate_limiter_admin.api_keys.name is 'What people call it.';
comment on column rate_limiter_admin.api_keys.created_at is 'When it was made.';
comment on column rate_limiter_admin.api_keys.created_by is 'The user who made it.';
comment on column rate_limiter_admin.api_keys.expires_at is 'When it stops working.';
comment on column rate_limiter_admin.api_keys.revoked_at is 'When it was taken back.';
comment on column rate_limiter_admin.api_keys.revoked_by is 'The user who took it back.';
comment on column rate_limiter_admin.api_keys.suspended_until is
  'Until when it is suspended: null for not at all, infinity until the suspension is lifted.';
comment on column rate_limiter_admin.api_keys.is_registered is
  'An access key id that the storage issued, and not a key that was made here.';

revoke all on rate_limiter_admin.api_keys from rate_limiter_visitor;
grant select on rate_limiter_admin.api_keys to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/api_keys/api_keys.sql
--! Included rate_limiter_private/api_keys/api_keys.triggers.sql
create or replace trigger audit_change
  after insert or delete or update of
    app_id, name, prefix, is_registered, created_at, created_by, expires_at, revoked_at, revoked_by,
    suspended_until
  on rate_limiter_private.api_keys
  for each row
  execute function rate_limiter_internal.audit_change('api_key_id', 'key_hash');
--! EndIncluded rate_limiter_private/api_keys/api_keys.triggers.sql
--! Included rate_limiter_private/api_keys/api_keys.grants.sql
revoke all on rate_limiter_private.api_keys
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select (app_id, api_key_id, prefix, name, created_at, created_by, expires_at,
  revoked_at, revoked_by, is_registered)
  on rate_limiter_private.api_keys to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/api_keys/api_keys.grants.sql
