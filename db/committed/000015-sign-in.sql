--! Previous: sha1:c70cbcd50f08a593de3790c225919683865fb78b
--! Hash: sha1:5ca50082ba1db7050cf001e45667ec91c285e42c
--! Message: sign in

-- Sign-in
--! Included rate_limiter_internal/sign_in/login_delay.sql
create or replace function rate_limiter_internal.login_delay(
  failures integer,
  allowed_failures bigint,
  longest interval
)
returns interval
language sql
immutable
parallel safe
return case
  when failures < allowed_failures then interval '0'
  -- 2 ^ 24 seconds is more than half a year: past it only the cap counts.
  else least(make_interval(secs => 2 ^ least(failures - allowed_failures, 24)), longest)
end;

comment on function rate_limiter_internal.login_delay(integer, bigint, interval) is
  'How long the next sign-in must wait after this many failures: nothing at first, then one '
  'second, doubling up to the longest.';
--! EndIncluded rate_limiter_internal/sign_in/login_delay.sql
--! Included rate_limiter_internal/sign_in/login_network.sql
create or replace function rate_limiter_internal.login_network(ip_address inet)
returns inet
language sql
immutable
parallel safe
-- A client with one IPv6 address has 2^64 of them.
return case family(ip_address)
  when 6 then network(set_masklen(ip_address, 64))::inet
  else set_masklen(ip_address, 32)
end;

comment on function rate_limiter_internal.login_network(inet) is
  'What counts as one address when sign-ins are slowed.';
--! EndIncluded rate_limiter_internal/sign_in/login_network.sql
--! Included rate_limiter_internal/sign_in/login_account.sql
create or replace function rate_limiter_internal.login_account(tenant text, email text)
returns bytea
language sql
immutable
parallel safe
return sha256(convert_to(tenant || E'\n' || lower(email), 'UTF8'));

comment on function rate_limiter_internal.login_account(text, text) is
  'The account that a sign-in names, existing or not, as failures are counted for it.';
--! EndIncluded rate_limiter_internal/sign_in/login_account.sql
--! Included rate_limiter_internal/sign_in/token_hash.sql
create or replace function rate_limiter_internal.token_hash(token text)
returns bytea
language sql
immutable
parallel safe
return sha256(convert_to(token, 'UTF8'));

comment on function rate_limiter_internal.token_hash(text) is
  'What is stored of an API key or refresh token: both are 256 random bits, so one round of '
  'SHA-256 hides them. Also of a registered access key id, which is not a secret.';
--! EndIncluded rate_limiter_internal/sign_in/token_hash.sql
--! Included rate_limiter_internal/sign_in/random_token.sql
create or replace function rate_limiter_internal.random_token()
returns text
language sql
volatile
parallel safe
as $$
  -- Each UUID has 122 random bits of the server's strong generator.
  select rtrim(
    translate(
      encode(
        sha256(
          uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
            || uuid_send(gen_random_uuid())
        ),
        'base64'
      ),
      '+/', '-_'
    ),
    '='
  );
$$;

comment on function rate_limiter_internal.random_token() is
  '256 random bits as 43 characters of base64url.';
--! EndIncluded rate_limiter_internal/sign_in/random_token.sql
--! Included rate_limiter_internal/sign_in/refuse_service_account.sql
create or replace function rate_limiter_internal.refuse_service_account(user_id uuid)
returns void
language plpgsql
stable
parallel safe
as $$
begin
  if exists (
    select
    from rate_limiter.users as u
    where u.user_id = refuse_service_account.user_id
      and u.is_service_account
  ) then
    raise exception using
      errcode = 'QS422',
      message = 'service account has no password',
      detail = format('service account: %s', refuse_service_account.user_id),
      hint = 'It has tokens instead: issueServiceToken makes one.';
  end if;
end;
$$;

comment on function rate_limiter_internal.refuse_service_account(uuid) is
  'Raises QS422 for a service account, where a person is meant who signs in.';
--! EndIncluded rate_limiter_internal/sign_in/refuse_service_account.sql
--! Included rate_limiter_internal/sign_in/require_invitation.sql
create or replace function rate_limiter_internal.require_invitation(token text)
returns uuid
language plpgsql
stable
parallel safe
as $$
declare
  live_id uuid;
begin
  select i.invitation_id
  into live_id
  from rate_limiter_private.invitations as i
  join rate_limiter.users as u on u.user_id = i.user_id
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where rate_limiter_internal.token_hash(require_invitation.token)
      in (i.token_hash, i.mailed_token_hash)
    and i.accepted_at is null
    and i.revoked_at is null
    and i.expires_at > clock_timestamp()
    and u.is_active
    and t.is_active
    -- A link that was kept lets none in to what its maker could not give by now.
    and rate_limiter_internal.could_let_in(i.created_by, i.user_id);

  -- Unknown, used, expired and revoked ones are told in the same words.
  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'invitation does not work',
      hint = 'It was used, has expired or was taken back: ask for another one.';
  end if;

  return live_id;
end;
$$;

comment on function rate_limiter_internal.require_invitation(text) is
  'The invitation of a token, while it works; raises QS404 for all other tokens.';
--! EndIncluded rate_limiter_internal/sign_in/require_invitation.sql
--! Included rate_limiter_private/sign_in/revoke_sessions.sql
create or replace function rate_limiter_private.revoke_sessions(
  user_id uuid,
  reason text,
  except_session_id uuid default null
)
returns integer
language plpgsql
volatile
parallel unsafe
as $$
declare
  revoked integer;
begin
  update rate_limiter_private.user_sessions as s
  set revoked_at = clock_timestamp(), revoke_reason = revoke_sessions.reason
  where s.user_id = revoke_sessions.user_id
    and s.revoked_at is null
    and s.session_id is distinct from revoke_sessions.except_session_id;

  get diagnostics revoked = row_count;

  insert into rate_limiter_private.provider_accounts as p (user_id, refused_before)
  select u.user_id, clock_timestamp()
  from rate_limiter.users as u
  where u.user_id = revoke_sessions.user_id
  on conflict on constraint provider_accounts_pkey do update
  set refused_before = excluded.refused_before;

  return revoked;
end;
$$;

comment on function rate_limiter_private.revoke_sessions(uuid, text, uuid) is
  'Ends the sessions of a user, all but one if asked, and answers how many. Tokens that an '
  'identity provider issued to the user before work no more.';
--! EndIncluded rate_limiter_private/sign_in/revoke_sessions.sql
--! Included rate_limiter_private/sign_in/revoke_service_tokens.sql
create or replace function rate_limiter_private.revoke_service_tokens(user_ids uuid[])
returns void
language sql
volatile
parallel unsafe
as $$
  update rate_limiter_private.service_tokens as t
  set revoked_at = clock_timestamp(),
    revoked_by = rate_limiter_internal.current_user_id()
  where t.user_id = any (revoke_service_tokens.user_ids)
    and t.revoked_at is null;
$$;

comment on function rate_limiter_private.revoke_service_tokens(uuid[]) is
  'Takes all tokens of service accounts back, for good.';
--! EndIncluded rate_limiter_private/sign_in/revoke_service_tokens.sql
--! Included rate_limiter_private/sign_in/revoke_invitations.sql
create or replace function rate_limiter_private.revoke_invitations(user_id uuid)
returns void
language sql
volatile
parallel unsafe
as $$
  update rate_limiter_private.invitations as i
  set revoked_at = clock_timestamp()
  where i.user_id = revoke_invitations.user_id
    and i.accepted_at is null
    and i.revoked_at is null;
$$;

comment on function rate_limiter_private.revoke_invitations(uuid) is
  'Takes the links back by which a user could set a password.';
--! EndIncluded rate_limiter_private/sign_in/revoke_invitations.sql
--! Included rate_limiter_private/sign_in/set_password.sql
create or replace function rate_limiter_private.set_password(
  user_id uuid,
  password_hash text,
  keep_session_id uuid default null
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  owner_tenant_id uuid;
begin
  select u.tenant_id
  into owner_tenant_id
  from rate_limiter.users as u
  where u.user_id = set_password.user_id;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown user',
      detail = format('user: %s', set_password.user_id),
      hint = 'Check the id: users of other tenants are not to be seen.';
  end if;

  perform rate_limiter_internal.refuse_service_account(set_password.user_id);

  insert into rate_limiter_private.user_secrets as s (user_id, password_hash)
  values (set_password.user_id, set_password.password_hash)
  on conflict on constraint user_secrets_pkey do update
  set password_hash = excluded.password_hash,
    password_changed_at = clock_timestamp();

  perform rate_limiter_private.revoke_sessions(
    set_password.user_id, 'password_changed', set_password.keep_session_id
  );

  perform rate_limiter_private.revoke_invitations(set_password.user_id);

  perform rate_limiter_internal.write_audit(
    'set_password', 'users', set_password.user_id, owner_tenant_id, null
  );
end;
$$;

comment on function rate_limiter_private.set_password(uuid, text, uuid) is
  'Gives a user a new password and ends the user''s sessions, all but one if asked.';
--! EndIncluded rate_limiter_private/sign_in/set_password.sql
--! Included rate_limiter_private/sign_in/is_known_network.sql
create or replace function rate_limiter_private.is_known_network(user_id uuid, ip_address inet)
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
    select
    from rate_limiter_private.user_sessions as s
    where s.user_id = is_known_network.user_id
      and rate_limiter_internal.login_network(s.ip_address)
        = rate_limiter_internal.login_network(is_known_network.ip_address)
  );
$$;

comment on function rate_limiter_private.is_known_network(uuid, inet) is
  'Whether the user signed in from this network before, as far as sessions are kept.';
--! EndIncluded rate_limiter_private/sign_in/is_known_network.sql
--! Included rate_limiter_private/sign_in/login_counters.sql
create or replace function rate_limiter_private.login_counters(
  account bytea,
  ip_address inet,
  is_known boolean
)
returns table (account bytea, network inet)
language sql
stable
parallel safe
as $$
  select counted.account, counted.network
  from (
    values
      (''::bytea, rate_limiter_internal.login_network(login_counters.ip_address)),
      (login_counters.account, rate_limiter_internal.login_network(login_counters.ip_address)),
      (login_counters.account, case when not login_counters.is_known then inet '0.0.0.0/0' end)
  ) as counted (account, network)
  where counted.network is not null;
$$;

comment on function rate_limiter_private.login_counters(bytea, inet, boolean) is
  'What a sign-in counts for: its source, the account from this source and, where the account was '
  'not signed in to from there before, the account from all such sources together.';
--! EndIncluded rate_limiter_private/sign_in/login_counters.sql
--! Included rate_limiter_private/sign_in/count_login_attempt.sql
create or replace function rate_limiter_private.count_login_attempt(
  at timestamptz,
  account bytea,
  ip_address inet,
  is_known boolean
)
returns bigint
language plpgsql
volatile
parallel unsafe
as $$
declare
  longest constant interval := rate_limiter_internal.setting_interval_seconds(
    'login_delay_max_seconds'
  );
  for_account constant bigint := rate_limiter_internal.setting_integer(
    'login_failures_per_account'
  );
  for_address constant bigint := rate_limiter_internal.setting_integer(
    'login_failures_per_address'
  );
  wait_until timestamptz;
  wanted integer;
  counted integer;
begin
  select max(f.locked_until) filter (where f.locked_until > count_login_attempt.at), count(*)
  into wait_until, wanted
  from rate_limiter_private.login_counters(
    count_login_attempt.account, count_login_attempt.ip_address, count_login_attempt.is_known
  ) as c
  left join rate_limiter_private.login_failures as f
    on f.account = c.account and f.network = c.network;

  if wait_until is not null then
    return ceil(1000 * extract(epoch from wait_until - count_login_attempt.at));
  end if;

  -- Counted before the password is looked at: guesses side by side are as many failures.
  insert into rate_limiter_private.login_failures as f (
    account, network, failed_attempts, last_failed_at, locked_until
  )
  select
    c.account, c.network, 1, count_login_attempt.at,
    nullif(
      count_login_attempt.at + rate_limiter_internal.login_delay(
        1, case when c.account = '' then for_address else for_account end, longest
      ),
      count_login_attempt.at
    )
  from rate_limiter_private.login_counters(
    count_login_attempt.account, count_login_attempt.ip_address, count_login_attempt.is_known
  ) as c
  order by c.account, c.network
  on conflict on constraint login_failures_pkey do update
  set failed_attempts = case
      when f.last_failed_at > excluded.last_failed_at - interval '1 hour'
        then f.failed_attempts + 1
      else 1
    end,
    last_failed_at = excluded.last_failed_at,
    locked_until = nullif(
      excluded.last_failed_at + rate_limiter_internal.login_delay(
        case
          when f.last_failed_at > excluded.last_failed_at - interval '1 hour'
            then f.failed_attempts + 1
          else 1
        end,
        case when f.account = '' then for_address else for_account end,
        longest
      ),
      excluded.last_failed_at
    )
  where f.locked_until is null or f.locked_until <= excluded.last_failed_at;

  get diagnostics counted = row_count;
  -- Another attempt was counted meanwhile, and locked one of them.
  return case when counted < wanted then 1000 end;
end;
$$;

comment on function rate_limiter_private.count_login_attempt(timestamptz, bytea, inet, boolean) is
  'Counts a sign-in as a failure, until forgive_login_attempt() takes it back; answers null, or '
  'the milliseconds to wait where failures slow it.';
--! EndIncluded rate_limiter_private/sign_in/count_login_attempt.sql
--! Included rate_limiter_private/sign_in/forgive_login_attempt.sql
create or replace function rate_limiter_private.forgive_login_attempt(
  at timestamptz,
  user_id uuid,
  ip_address inet,
  forgets boolean
)
returns void
language plpgsql
volatile
parallel unsafe
as $$
declare
  signed_in constant bytea := (
    select rate_limiter_internal.login_account(t.name, u.email)
    from rate_limiter.users as u
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    where u.user_id = forgive_login_attempt.user_id
  );
begin
  delete from rate_limiter_private.login_failures as f
  where forgive_login_attempt.forgets
    and f.account = signed_in
    and f.network = rate_limiter_internal.login_network(forgive_login_attempt.ip_address);

  update rate_limiter_private.login_failures as f
  set failed_attempts = greatest(f.failed_attempts - 1, 0),
    locked_until = case
      when f.last_failed_at > forgive_login_attempt.at then f.locked_until
    end
  from rate_limiter_private.login_counters(
    signed_in,
    forgive_login_attempt.ip_address,
    rate_limiter_private.is_known_network(
      forgive_login_attempt.user_id, forgive_login_attempt.ip_address
    )
  ) as c
  where f.account = c.account
    and f.network = c.network;
end;
$$;

comment on function rate_limiter_private.forgive_login_attempt(timestamptz, uuid, inet, boolean)
is
  'Takes back what count_login_attempt() counted for an attempt that turned out right, and '
  'forgets earlier failures of the account from there if asked.';
--! EndIncluded rate_limiter_private/sign_in/forgive_login_attempt.sql
--! Included rate_limiter_private/sign_in/start_session.sql
create or replace function rate_limiter_private.start_session(
  at timestamptz,
  user_id uuid,
  ip_address inet,
  user_agent text,
  out session_id uuid,
  out refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
begin
  session_id := gen_random_uuid();
  refresh_token := rate_limiter_internal.random_token();
  expires_at := start_session.at
    + rate_limiter_internal.setting_interval_seconds('session_max_seconds');
  refresh_expires_at := least(
    expires_at,
    start_session.at + rate_limiter_internal.setting_interval_seconds('refresh_token_seconds')
  );

  insert into rate_limiter_private.user_sessions (
    session_id, user_id, refresh_token_hash, ip_address, user_agent,
    created_at, last_used_at, refresh_expires_at, expires_at
  )
  values (
    start_session.session_id,
    start_session.user_id,
    rate_limiter_internal.token_hash(start_session.refresh_token),
    start_session.ip_address,
    start_session.user_agent,
    start_session.at,
    start_session.at,
    start_session.refresh_expires_at,
    start_session.expires_at
  );
end;
$$;

comment on function rate_limiter_private.start_session(timestamptz, uuid, inet, text) is
  'Makes a session and its first refresh token, which is stored as a hash only.';
--! EndIncluded rate_limiter_private/sign_in/start_session.sql
--! Included rate_limiter_private/sign_in/audit_login.sql
create or replace function rate_limiter_private.audit_login(
  user_id uuid,
  action text,
  status text,
  error_message text,
  ip_address inet,
  user_agent text
)
returns void
language sql
volatile
parallel unsafe
as $$
  insert into rate_limiter_audit.audit_logs (
    tenant_id, user_id, action, entity_type, entity_id, ip_address, user_agent, request_id,
    status, error_message, created_at
  )
  select
    u.tenant_id, u.user_id, audit_login.action, 'users', u.user_id, audit_login.ip_address,
    audit_login.user_agent, rate_limiter_internal.context_text('request_id'),
    audit_login.status, audit_login.error_message, clock_timestamp()
  from (values (audit_login.user_id)) as named (user_id)
  left join rate_limiter.users as u on u.user_id = named.user_id;
$$;

comment on function rate_limiter_private.audit_login(uuid, text, text, text, inet, text) is
  'Writes an audit row about a sign-in, which has no session to take its circumstances from; '
  'without user and tenant where no account was named.';
--! EndIncluded rate_limiter_private/sign_in/audit_login.sql
--! Included rate_limiter_private/sign_in/begin_login_at.sql
create or replace function rate_limiter_private.begin_login_at(
  at timestamptz,
  tenant text,
  email text,
  ip_address inet,
  out outcome text,
  out retry_after_ms bigint,
  out counted_at timestamptz,
  out user_id uuid,
  out password_hash text,
  out hash_cost bigint,
  out second_factor bytea,
  out is_confirmed boolean,
  out is_required boolean
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
begin
  perform rate_limiter_internal.require_read_committed();
  counted_at := begin_login_at.at;
  hash_cost := rate_limiter_internal.setting_integer('password_hash_cost');

  select
    u.user_id, s.password_hash, f.encrypted_secret, f.confirmed_at is not null,
    t.requires_second_factor or rate_limiter_internal.setting_boolean('second_factor_required')
  into user_id, password_hash, second_factor, is_confirmed, is_required
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  join rate_limiter_private.user_secrets as s on s.user_id = u.user_id
  left join rate_limiter_private.second_factors as f on f.user_id = u.user_id
  where t.name = begin_login_at.tenant
    and lower(u.email) = lower(begin_login_at.email)
    and u.is_active
    and t.is_active;

  retry_after_ms := rate_limiter_private.count_login_attempt(
    begin_login_at.at,
    rate_limiter_internal.login_account(begin_login_at.tenant, begin_login_at.email),
    begin_login_at.ip_address,
    rate_limiter_private.is_known_network(begin_login_at.user_id, begin_login_at.ip_address)
  );
  outcome := case when retry_after_ms is null then 'check' else 'slowed' end;
  if outcome = 'slowed' then
    user_id := null;
    password_hash := null;
    second_factor := null;
  end if;
end;
$$;

comment on function rate_limiter_private.begin_login_at(timestamptz, text, text, inet) is
  'begin_login() at a given moment.';
--! EndIncluded rate_limiter_private/sign_in/begin_login_at.sql
--! Included rate_limiter_private/sign_in/begin_login.sql
create or replace function rate_limiter_private.begin_login(
  tenant text,
  email text,
  ip_address inet,
  out outcome text,
  out retry_after_ms bigint,
  out counted_at timestamptz,
  out user_id uuid,
  out password_hash text,
  out hash_cost bigint,
  out second_factor bytea,
  out is_confirmed boolean,
  out is_required boolean
)
returns record
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select b.*
  from rate_limiter_private.begin_login_at(
    clock_timestamp(), begin_login.tenant, begin_login.email, begin_login.ip_address
  ) as b;
$$;

comment on function rate_limiter_private.begin_login(text, text, inet) is
  'Counts a sign-in, and answers what its password is checked by. The outcome is check (also for '
  'an account that does not exist: without a hash) or slowed (with the time to wait after too many '
  'failures). The caller checks one password, commits whatever the outcome, and calls '
  'complete_login() or fail_login().';
grant execute on function rate_limiter_private.begin_login(text, text, inet)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/begin_login.sql
--! Included rate_limiter_private/sign_in/begin_password_check.sql
create or replace function rate_limiter_private.begin_password_check(
  out outcome text,
  out retry_after_ms bigint,
  out counted_at timestamptz,
  out user_id uuid,
  out password_hash text,
  out hash_cost bigint,
  out second_factor bytea,
  out is_confirmed boolean,
  out is_required boolean
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  my_tenant text;
  my_email text;
begin
  select t.name, u.email
  into my_tenant, my_email
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where u.user_id = rate_limiter_internal.current_user_id();

  if not found then
    raise exception using
      errcode = 'QS401',
      message = 'not signed in',
      hint = 'Sign in, or refresh the session.';
  end if;

  perform rate_limiter_internal.refuse_service_account(rate_limiter_internal.current_user_id());

  select b.*
  into
    outcome, retry_after_ms, counted_at, user_id, password_hash, hash_cost, second_factor,
    is_confirmed, is_required
  from rate_limiter_private.begin_login_at(
    clock_timestamp(), my_tenant, my_email,
    rate_limiter_internal.context_text('ip_address')::inet
  ) as b;
end;
$$;

comment on function rate_limiter_private.begin_password_check() is
  'As begin_login(), for the signed-in user who proves to know the password: a stolen token '
  'guesses no faster than a sign-in.';
grant execute on function rate_limiter_private.begin_password_check()
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/begin_password_check.sql
--! Included rate_limiter_private/sign_in/use_one_time_code.sql
create or replace function rate_limiter_private.use_one_time_code(
  at timestamptz,
  user_id uuid,
  step bigint
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
begin
  update rate_limiter_private.second_factors as f
  set last_used_step = use_one_time_code.step,
    confirmed_at = coalesce(f.confirmed_at, use_one_time_code.at)
  where f.user_id = use_one_time_code.user_id
    and f.last_used_step < use_one_time_code.step;
  return found;
end;
$$;

comment on function rate_limiter_private.use_one_time_code(timestamptz, uuid, bigint) is
  'Spends the code of a time step; false where it, or a later one, was used before.';
--! EndIncluded rate_limiter_private/sign_in/use_one_time_code.sql
--! Included rate_limiter_private/sign_in/complete_login_at.sql
create or replace function rate_limiter_private.complete_login_at(
  at timestamptz,
  user_id uuid,
  checked_hash text,
  code_step bigint,
  ip_address inet,
  user_agent text,
  out outcome text,
  out session_id uuid,
  out refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  needs_code boolean;
begin
  -- The account as it is now: the password was checked outside of this transaction.
  select
    f.confirmed_at is not null or t.requires_second_factor
      or rate_limiter_internal.setting_boolean('second_factor_required')
  into needs_code
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  join rate_limiter_private.user_secrets as s on s.user_id = u.user_id
  left join rate_limiter_private.second_factors as f on f.user_id = u.user_id
  where u.user_id = complete_login_at.user_id
    and u.is_active
    and t.is_active
    and s.password_hash = complete_login_at.checked_hash
  for update of u;

  if not found
    or needs_code and (
      complete_login_at.code_step is null
      or not rate_limiter_private.use_one_time_code(
        complete_login_at.at, complete_login_at.user_id, complete_login_at.code_step
      )
    )
  then
    outcome := 'invalid';
    perform rate_limiter_private.audit_login(
      complete_login_at.user_id, 'login', 'failure', 'account changed, or code was used',
      complete_login_at.ip_address, complete_login_at.user_agent
    );
    return;
  end if;

  perform rate_limiter_private.forgive_login_attempt(
    complete_login_at.at, complete_login_at.user_id, complete_login_at.ip_address, true
  );

  update rate_limiter.users as u
  set last_login_at = complete_login_at.at, login_count = u.login_count + 1
  where u.user_id = complete_login_at.user_id;

  select s.session_id, s.refresh_token, s.refresh_expires_at, s.expires_at
  into session_id, refresh_token, refresh_expires_at, expires_at
  from rate_limiter_private.start_session(
    complete_login_at.at, complete_login_at.user_id, complete_login_at.ip_address,
    complete_login_at.user_agent
  ) as s;

  perform rate_limiter_private.audit_login(
    complete_login_at.user_id, 'login', 'success', null, complete_login_at.ip_address,
    complete_login_at.user_agent
  );
  outcome := 'ok';
end;
$$;

comment on function rate_limiter_private.complete_login_at(
  timestamptz, uuid, text, bigint, inet, text
) is
  'Starts the session of a user whose password was right. at is the counted_at of begin_login(), '
  'checked_hash the hash that the password was checked by, code_step the time step of a one-time '
  'code that was right. The outcome is ok, or invalid where the account has changed since or the '
  'code was used before.';
grant execute on function rate_limiter_private.complete_login_at(
  timestamptz, uuid, text, bigint, inet, text
) to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/complete_login_at.sql
--! Included rate_limiter_private/sign_in/fail_login.sql
create or replace function rate_limiter_private.fail_login(
  user_id uuid,
  reason text,
  ip_address inet,
  user_agent text
)
returns void
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_private.audit_login(
    fail_login.user_id, 'login', 'failure', fail_login.reason, fail_login.ip_address,
    fail_login.user_agent
  );
$$;

comment on function rate_limiter_private.fail_login(uuid, text, inet, text) is
  'Writes a failed sign-in into the audit, of an account that does not exist too: else the time '
  'would tell which do.';
grant execute on function rate_limiter_private.fail_login(uuid, text, inet, text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/fail_login.sql
--! Included rate_limiter_private/sign_in/excuse_login.sql
create or replace function rate_limiter_private.excuse_login(
  at timestamptz,
  user_id uuid,
  ip_address inet
)
returns void
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_private.forgive_login_attempt(
    excuse_login.at, excuse_login.user_id, excuse_login.ip_address, false
  );
$$;

comment on function rate_limiter_private.excuse_login(timestamptz, uuid, inet) is
  'Takes back the failure that begin_login() counted, where the password was right and a one-time '
  'code is still to come. Earlier failures stay, so that codes are guessed no faster.';
grant execute on function rate_limiter_private.excuse_login(timestamptz, uuid, inet)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/excuse_login.sql
--! Included rate_limiter_private/sign_in/confirm_password_check.sql
create or replace function rate_limiter_private.confirm_password_check(
  at timestamptz,
  checked_hash text
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  me constant uuid := rate_limiter_internal.current_user_id();
begin
  perform
  from rate_limiter_private.user_secrets as s
  where s.user_id = me
    and s.password_hash = confirm_password_check.checked_hash
  for update;

  if not found then
    raise exception using
      errcode = 'QS403',
      message = 'current password is wrong',
      hint = 'Check it, then try again.';
  end if;

  -- Earlier failures stay counted: one-time codes are guessed beside a password that is known.
  perform rate_limiter_private.forgive_login_attempt(
    confirm_password_check.at, me, rate_limiter_internal.context_text('ip_address')::inet, false
  );
  return me;
end;
$$;

comment on function rate_limiter_private.confirm_password_check(timestamptz, text) is
  'Ends what begin_password_check() began, where the password was right, and answers the user; '
  'raises QS403 where the password has changed since.';
--! EndIncluded rate_limiter_private/sign_in/confirm_password_check.sql
--! Included rate_limiter_private/sign_in/password_rules.sql
create or replace function rate_limiter_private.password_rules(
  user_id uuid default null,
  out shortest bigint,
  out hash_cost bigint,
  out names text[]
)
returns record
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    rate_limiter_internal.setting_integer('password_min_length'),
    rate_limiter_internal.setting_integer('password_hash_cost'),
    array(
      select named.name
      from rate_limiter.users as u
      join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
      cross join lateral unnest(array[u.username, u.email, t.name]) as named (name)
      where u.user_id = password_rules.user_id
        and named.name is not null
    );
$$;

comment on function rate_limiter_private.password_rules(uuid) is
  'What a new password of a user has to fit: its length, the cost of its hash, and the names that '
  'make a guess of it.';
grant execute on function rate_limiter_private.password_rules(uuid)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/password_rules.sql
--! Included rate_limiter_private/sign_in/change_password.sql
create or replace function rate_limiter_private.change_password(
  at timestamptz,
  checked_hash text,
  new_hash text
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  me constant uuid := rate_limiter_private.confirm_password_check(
    change_password.at, change_password.checked_hash
  );
begin
  perform rate_limiter_private.set_password(
    me, change_password.new_hash, rate_limiter_internal.context_text('session_id')::uuid
  );
end;
$$;

comment on function rate_limiter_private.change_password(timestamptz, text, text) is
  'Changes the signed-in user''s password, after begin_password_check(), and ends the other '
  'sessions.';
grant execute on function rate_limiter_private.change_password(timestamptz, text, text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/change_password.sql
--! Included rate_limiter_private/sign_in/change_email.sql
create or replace function rate_limiter_private.change_email(
  at timestamptz,
  checked_hash text,
  new_email text
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_permission('tenant', 'update');

  update rate_limiter.users as u
  set email = change_email.new_email
  where u.user_id = rate_limiter_private.confirm_password_check(
    change_email.at, change_email.checked_hash
  );
end;
$$;

comment on function rate_limiter_private.change_email(timestamptz, text, text) is
  'Changes the signed-in user''s address, after begin_password_check(), and ends the other '
  'sessions. Needs tenant:update, as the address of any user does.';
grant execute on function rate_limiter_private.change_email(timestamptz, text, text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/change_email.sql
--! Included rate_limiter_private/sign_in/reset_password.sql
create or replace function rate_limiter_private.reset_password(user_id uuid, new_hash text)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_access_to_give(reset_password.user_id);
  perform rate_limiter_private.set_password(reset_password.user_id, reset_password.new_hash);
end;
$$;

comment on function rate_limiter_private.reset_password(uuid, text) is
  'Gives another user, whom the signed-in one may manage, a new password, and ends that user''s '
  'sessions.';
grant execute on function rate_limiter_private.reset_password(uuid, text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/reset_password.sql
--! Included rate_limiter_private/sign_in/store_second_factor.sql
create or replace function rate_limiter_private.store_second_factor(
  user_id uuid,
  encrypted_secret bytea
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
begin
  insert into rate_limiter_private.second_factors as f (user_id, encrypted_secret)
  values (store_second_factor.user_id, store_second_factor.encrypted_secret)
  on conflict on constraint second_factors_pkey do update
  set encrypted_secret = excluded.encrypted_secret,
    enrolled_at = clock_timestamp(),
    last_used_step = 0
  where f.confirmed_at is null;
  return found;
end;
$$;

comment on function rate_limiter_private.store_second_factor(uuid, bytea) is
  'Keeps the secret of a second factor that is still to be confirmed by a code; false where the '
  'user has one that is confirmed.';
--! EndIncluded rate_limiter_private/sign_in/store_second_factor.sql
--! Included rate_limiter_private/sign_in/enrol_at_login.sql
create or replace function rate_limiter_private.enrol_at_login(
  user_id uuid,
  checked_hash text,
  encrypted_secret bytea
)
returns boolean
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select rate_limiter_private.store_second_factor(
        s.user_id, enrol_at_login.encrypted_secret
      )
      from rate_limiter_private.user_secrets as s
      where s.user_id = enrol_at_login.user_id
        and s.password_hash = enrol_at_login.checked_hash
    ),
    false
  );
$$;

comment on function rate_limiter_private.enrol_at_login(uuid, text, bytea) is
  'Begins the second factor of a user who is asked for one, has none, and knows the password; '
  'false where the account has changed since that was checked.';
grant execute on function rate_limiter_private.enrol_at_login(uuid, text, bytea)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/enrol_at_login.sql
--! Included rate_limiter_private/sign_in/enrol_second_factor.sql
create or replace function rate_limiter_private.enrol_second_factor(
  at timestamptz,
  checked_hash text,
  encrypted_secret bytea
)
returns void
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  me constant uuid := rate_limiter_private.confirm_password_check(
    enrol_second_factor.at, enrol_second_factor.checked_hash
  );
begin
  if not rate_limiter_private.store_second_factor(me, enrol_second_factor.encrypted_secret) then
    raise exception using
      errcode = 'QS409',
      message = 'second factor exists already',
      hint = 'Remove it first, with a code of it.';
  end if;

  perform rate_limiter_internal.write_audit(
    'enrol_second_factor', 'users', me, rate_limiter_internal.current_tenant_id(), null
  );
end;
$$;

comment on function rate_limiter_private.enrol_second_factor(timestamptz, text, bytea) is
  'Begins a second factor of the signed-in user, after begin_password_check(): it counts once a '
  'code has confirmed it.';
grant execute on function rate_limiter_private.enrol_second_factor(timestamptz, text, bytea)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/enrol_second_factor.sql
--! Included rate_limiter_private/sign_in/confirm_second_factor.sql
create or replace function rate_limiter_private.confirm_second_factor(
  at timestamptz,
  checked_hash text,
  code_step bigint
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  me constant uuid := rate_limiter_private.confirm_password_check(
    confirm_second_factor.at, confirm_second_factor.checked_hash
  );
begin
  if not rate_limiter_private.use_one_time_code(
    confirm_second_factor.at, me, confirm_second_factor.code_step
  ) then
    return false;
  end if;

  perform rate_limiter_private.revoke_sessions(
    me, 'second_factor_changed', rate_limiter_internal.context_text('session_id')::uuid
  );
  perform rate_limiter_internal.write_audit(
    'confirm_second_factor', 'users', me, rate_limiter_internal.current_tenant_id(), null
  );
  return true;
end;
$$;

comment on function rate_limiter_private.confirm_second_factor(timestamptz, text, bigint) is
  'Confirms the second factor of the signed-in user by a first code, after '
  'begin_password_check(), and ends the other sessions; false where the code was used before.';
grant execute on function rate_limiter_private.confirm_second_factor(timestamptz, text, bigint)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/confirm_second_factor.sql
--! Included rate_limiter_private/sign_in/remove_second_factor.sql
create or replace function rate_limiter_private.remove_second_factor(
  at timestamptz,
  checked_hash text,
  code_step bigint
)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  me constant uuid := rate_limiter_private.confirm_password_check(
    remove_second_factor.at, remove_second_factor.checked_hash
  );
begin
  if not rate_limiter_private.use_one_time_code(
    remove_second_factor.at, me, remove_second_factor.code_step
  ) then
    return false;
  end if;

  delete from rate_limiter_private.second_factors as f
  where f.user_id = me;

  perform rate_limiter_private.revoke_sessions(
    me, 'second_factor_changed', rate_limiter_internal.context_text('session_id')::uuid
  );
  perform rate_limiter_internal.write_audit(
    'remove_second_factor', 'users', me, rate_limiter_internal.current_tenant_id(), null
  );
  return true;
end;
$$;

comment on function rate_limiter_private.remove_second_factor(timestamptz, text, bigint) is
  'Removes the second factor of the signed-in user by a code of it, after '
  'begin_password_check(), and ends the other sessions; false where the code was used before.';
grant execute on function rate_limiter_private.remove_second_factor(timestamptz, text, bigint)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/remove_second_factor.sql
--! Included rate_limiter_private/sign_in/refresh_session_at.sql
create or replace function rate_limiter_private.refresh_session_at(
  at timestamptz,
  refresh_token text,
  out outcome text,
  out user_id uuid,
  out tenant_id uuid,
  out session_id uuid,
  out new_refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
as $$
declare
  spent_hash constant bytea := rate_limiter_internal.token_hash(
    refresh_session_at.refresh_token
  );
  fresh_token constant text := rate_limiter_internal.random_token();
begin
  perform rate_limiter_internal.require_read_committed();
  update rate_limiter_private.user_sessions as s
  set refresh_token_hash = rate_limiter_internal.token_hash(fresh_token),
    last_used_at = refresh_session_at.at,
    refresh_expires_at = least(
      s.expires_at,
      refresh_session_at.at
        + rate_limiter_internal.setting_interval_seconds('refresh_token_seconds')
    )
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where s.refresh_token_hash = spent_hash
    and s.revoked_at is null
    and s.refresh_expires_at > refresh_session_at.at
    and u.user_id = s.user_id
    and u.is_active
    and t.is_active
  returning u.user_id, u.tenant_id, s.session_id, s.refresh_expires_at, s.expires_at
  into user_id, tenant_id, session_id, refresh_expires_at, expires_at;

  if found then
    insert into rate_limiter_private.used_refresh_tokens (token_hash, session_id, used_at)
    values (spent_hash, refresh_session_at.session_id, refresh_session_at.at);
    outcome := 'ok';
    new_refresh_token := fresh_token;
    return;
  end if;

  -- A spent token that comes back was stolen, or its thief was here first: end the session.
  update rate_limiter_private.user_sessions as s
  set revoked_at = refresh_session_at.at, revoke_reason = 'refresh_token_reused'
  from rate_limiter_private.used_refresh_tokens as used
  where used.token_hash = spent_hash
    and s.session_id = used.session_id
    and s.revoked_at is null
  returning s.user_id into user_id;

  if found then
    perform rate_limiter_private.audit_login(
      refresh_session_at.user_id, 'refresh', 'failure', 'refresh token reused', null, null
    );
  end if;

  outcome := case when user_id is null then 'invalid' else 'reused' end;
  user_id := null;
end;
$$;

comment on function rate_limiter_private.refresh_session_at(timestamptz, text) is
  'refresh_session() at a given moment.';
--! EndIncluded rate_limiter_private/sign_in/refresh_session_at.sql
--! Included rate_limiter_private/sign_in/refresh_session.sql
create or replace function rate_limiter_private.refresh_session(
  refresh_token text,
  out outcome text,
  out user_id uuid,
  out tenant_id uuid,
  out session_id uuid,
  out new_refresh_token text,
  out refresh_expires_at timestamptz,
  out expires_at timestamptz
)
returns record
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select r.*
  from rate_limiter_private.refresh_session_at(
    clock_timestamp(), refresh_session.refresh_token
  ) as r;
$$;

comment on function rate_limiter_private.refresh_session(text) is
  'Continues a session with its refresh token, which is spent by this and replaced. The outcome '
  'is ok, invalid, or reused: a spent token came back, and the session was ended.';
grant execute on function rate_limiter_private.refresh_session(text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/refresh_session.sql
--! Included rate_limiter_private/sign_in/end_session.sql
create or replace function rate_limiter_private.end_session(
  session_id uuid,
  user_id uuid,
  reason text
)
returns boolean
language plpgsql
volatile
parallel unsafe
as $$
begin
  update rate_limiter_private.user_sessions as s
  set revoked_at = clock_timestamp(), revoke_reason = end_session.reason
  where s.session_id = end_session.session_id
    and s.user_id = end_session.user_id
    and s.revoked_at is null;

  if not found then
    return false;
  end if;

  perform rate_limiter_internal.write_audit(
    end_session.reason, 'user_sessions', end_session.session_id,
    rate_limiter_internal.tenant_of(jsonb_build_object('user_id', end_session.user_id)), null
  );
  return true;
end;
$$;

comment on function rate_limiter_private.end_session(uuid, uuid, text) is
  'Ends one session of a user; answers whether there was one to end.';
--! EndIncluded rate_limiter_private/sign_in/end_session.sql
--! Included rate_limiter_private/sign_in/logout.sql
create or replace function rate_limiter_private.logout(session_id uuid)
returns boolean
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (
      select rate_limiter_private.end_session(s.session_id, s.user_id, 'logout')
      from rate_limiter_private.user_sessions as s
      where s.session_id = logout.session_id
    ),
    false
  );
$$;

comment on function rate_limiter_private.logout(uuid) is
  'Ends a session; answers whether there was one to end.';
grant execute on function rate_limiter_private.logout(uuid) to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/logout.sql
--! Included rate_limiter_private/sign_in/logout_everywhere.sql
create or replace function rate_limiter_private.logout_everywhere(user_id uuid)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  ended constant integer := rate_limiter_private.revoke_sessions(
    logout_everywhere.user_id, 'logout_everywhere'
  );
begin
  perform rate_limiter_internal.write_audit(
    'logout_everywhere', 'users', logout_everywhere.user_id,
    rate_limiter_internal.tenant_of(
      jsonb_build_object('user_id', logout_everywhere.user_id)
    ),
    null,
    null,
    jsonb_build_object('sessions', ended)
  );
  return ended;
end;
$$;

comment on function rate_limiter_private.logout_everywhere(uuid) is
  'Ends every session of a user; answers how many there were.';
grant execute on function rate_limiter_private.logout_everywhere(uuid)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/logout_everywhere.sql
--! Included rate_limiter_private/sign_in/access_token_seconds.sql
create or replace function rate_limiter_private.access_token_seconds()
returns bigint
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_internal.setting_integer('access_token_seconds');
$$;

comment on function rate_limiter_private.access_token_seconds() is
  'Life of an access token in seconds, for the API, which makes them.';
grant execute on function rate_limiter_private.access_token_seconds()
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/access_token_seconds.sql
--! Included rate_limiter_private/sign_in/session_is_active.sql
create or replace function rate_limiter_private.session_is_active(user_id uuid, session_id uuid)
returns boolean
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select
    from rate_limiter_private.user_sessions as s
    join rate_limiter.users as u on u.user_id = s.user_id
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    where s.session_id = session_is_active.session_id
      and s.user_id = session_is_active.user_id
      and s.revoked_at is null
      and s.expires_at > clock_timestamp()
      and u.is_active
      and t.is_active
  );
$$;

comment on function rate_limiter_private.session_is_active(uuid, uuid) is
  'Whether a session, its user and the tenant are active: asked while a subscription lasts.';
grant execute on function rate_limiter_private.session_is_active(uuid, uuid)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/session_is_active.sql
--! Included rate_limiter_private/sign_in/tenant_of_session.sql
create or replace function rate_limiter_private.tenant_of_session(user_id uuid, session_id uuid)
returns uuid
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select u.tenant_id
  from rate_limiter_private.user_sessions as s
  join rate_limiter.users as u on u.user_id = s.user_id
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where s.session_id = tenant_of_session.session_id
    and s.user_id = tenant_of_session.user_id
    and s.revoked_at is null
    and s.expires_at > clock_timestamp()
    and u.is_active
    and t.is_active;
$$;

comment on function rate_limiter_private.tenant_of_session(uuid, uuid) is
  'The tenant of a session that is active, as are its user and the tenant; null otherwise: the API '
  'asks before each request, so that a logout counts at once.';
grant execute on function rate_limiter_private.tenant_of_session(uuid, uuid)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/tenant_of_session.sql
--! Included rate_limiter_private/sign_in/use_service_token.sql
create or replace function rate_limiter_private.use_service_token(
  token text,
  out user_id uuid,
  out tenant_id uuid,
  out token_id uuid,
  out expires_at timestamptz
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  used_at timestamptz;
begin
  select u.user_id, u.tenant_id, t.token_id, t.expires_at, t.last_used_at
  into user_id, tenant_id, token_id, expires_at, used_at
  from rate_limiter_private.service_tokens as t
  join rate_limiter.users as u on u.user_id = t.user_id
  join rate_limiter.tenants as e on e.tenant_id = u.tenant_id
  where t.token_hash = rate_limiter_internal.token_hash(use_service_token.token)
    and t.revoked_at is null
    and t.expires_at > clock_timestamp()
    and u.is_active
    and e.is_active
    and rate_limiter_internal.token_is_backed(t.token_id);

  -- Once a minute, as every request comes by here; a request at the same time writes it instead.
  if found and (used_at is null or used_at < clock_timestamp() - interval '1 minute') then
    update rate_limiter_private.service_tokens as t
    set last_used_at = clock_timestamp()
    where t.token_hash = (
      select l.token_hash
      from rate_limiter_private.service_tokens as l
      where l.token_id = use_service_token.token_id
      for no key update skip locked
    );
  end if;
end;
$$;

comment on function rate_limiter_private.use_service_token(text) is
  'The active service account of a token, its tenant, and when the token ends; nulls for a token '
  'that does not work, as one whose maker could not give now what the account holds.';
grant execute on function rate_limiter_private.use_service_token(text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/use_service_token.sql
--! Included rate_limiter_private/sign_in/user_of_invitation.sql
create or replace function rate_limiter_private.user_of_invitation(token text)
returns uuid
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select i.user_id
  from rate_limiter_private.invitations as i
  where i.invitation_id = rate_limiter_internal.require_invitation(user_of_invitation.token);
$$;

comment on function rate_limiter_private.user_of_invitation(text) is
  'The user whose password a token may set; raises QS404 for a token that does not work.';
grant execute on function rate_limiter_private.user_of_invitation(text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/user_of_invitation.sql
--! Included rate_limiter_private/sign_in/accept_invitation.sql
create or replace function rate_limiter_private.accept_invitation(
  token text,
  password_hash text,
  out tenant text,
  out email text,
  out requires_second_factor boolean
)
returns record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  invited_id uuid;
begin
  -- Of two at once the second one waits, and finds it accepted.
  update rate_limiter_private.invitations as i
  set accepted_at = clock_timestamp()
  where i.invitation_id = rate_limiter_internal.require_invitation(accept_invitation.token)
    and i.accepted_at is null
    and i.revoked_at is null
  returning i.user_id into invited_id;

  if not found then
    perform rate_limiter_internal.require_invitation(accept_invitation.token);
  end if;

  perform rate_limiter_private.set_password(invited_id, accept_invitation.password_hash);

  select
    t.name, u.email,
    t.requires_second_factor or rate_limiter_internal.setting_boolean('second_factor_required')
      or exists (
        select
        from rate_limiter_private.second_factors as f
        where f.user_id = u.user_id
          and f.confirmed_at is not null
      )
  into tenant, email, requires_second_factor
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where u.user_id = invited_id;
end;
$$;

comment on function rate_limiter_private.accept_invitation(text, text) is
  'Sets the password of an invited user, once. The next sign-in asks for a second factor where '
  'one is demanded.';
grant execute on function rate_limiter_private.accept_invitation(text, text)
  to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/accept_invitation.sql
--! Included rate_limiter_private/sign_in/send_invitation.sql
create or replace function rate_limiter_private.send_invitation(
  invitation_id uuid,
  out token text,
  out email text,
  out tenant text,
  out expires_at timestamptz
)
returns setof record
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  token := 'qsi_' || rate_limiter_internal.random_token();

  update rate_limiter_private.invitations as i
  set mailed_token_hash = rate_limiter_internal.token_hash(send_invitation.token),
    mailed_at = clock_timestamp()
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where i.invitation_id = send_invitation.invitation_id
    and i.accepted_at is null
    and i.revoked_at is null
    and i.expires_at > clock_timestamp()
    and u.user_id = i.user_id
    and u.is_active
    and t.is_active
    and rate_limiter_internal.could_let_in(i.created_by, i.user_id)
  returning u.email, t.name, i.expires_at into email, tenant, expires_at;

  if found then
    return next;
  end if;
end;
$$;

comment on function rate_limiter_private.send_invitation(uuid) is
  'Job: makes the token that goes into the mail of an invitation, in place of that of an earlier '
  'attempt. No row where the invitation works no more.';
grant execute on function rate_limiter_private.send_invitation(uuid) to rate_limiter_worker;
--! EndIncluded rate_limiter_private/sign_in/send_invitation.sql
--! Included rate_limiter_private/sign_in/follow_groups.sql
create or replace function rate_limiter_private.follow_groups(
  user_id uuid,
  groups text[],
  until timestamptz
)
returns void
language sql
volatile
parallel unsafe
as $$
  with wanted as (
    -- Of several mappings to one role the one that lasts longest.
    select distinct on (m.role_id)
      m.role_id, m.mapping_id,
      least(follow_groups.until, m.lasts_until) as expires_at
    from rate_limiter.role_mappings as m
    join rate_limiter.users as u on u.user_id = follow_groups.user_id
    where m.group_name = any (follow_groups.groups)
      and (m.tenant_id is null or m.tenant_id = u.tenant_id)
      and (m.lasts_until is null or m.lasts_until > current_timestamp)
      and rate_limiter_internal.could_give_role(
        m.created_by, m.role_id, m.tenant_id, clock_timestamp()
      )
    order by m.role_id, m.lasts_until desc nulls first, m.mapping_id
  ),
  ended as (
    update rate_limiter.user_roles as ur
    set expires_at = current_timestamp
    where ur.user_id = follow_groups.user_id
      and ur.mapping_id is not null
      and ur.expires_at > current_timestamp
      and not exists (
        select
        from wanted as w
        where w.role_id = ur.role_id
      )
  )
  insert into rate_limiter.user_roles as ur (user_id, role_id, expires_at, mapping_id)
  select follow_groups.user_id, w.role_id, w.expires_at, w.mapping_id
  from wanted as w
  on conflict on constraint user_role_unique do update
  set expires_at = excluded.expires_at, mapping_id = excluded.mapping_id
  -- What an administrator gave stays as it is while it lasts.
  where ur.mapping_id is not null
    or ur.expires_at <= current_timestamp;
$$;

comment on function rate_limiter_private.follow_groups(uuid, text[], timestamptz) is
  'Gives a user the roles of the groups that an identity provider names, until its token ends, and '
  'takes those that came of groups which it names no more, or '
  'whose mapping was made by one who could not make it now.';
--! EndIncluded rate_limiter_private/sign_in/follow_groups.sql
--! Included rate_limiter_private/sign_in/user_of_provider.sql
create or replace function rate_limiter_private.user_of_provider(
  tenant text,
  email text,
  issued_at timestamptz,
  expires_at timestamptz,
  groups text[]
)
returns uuid
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  known_id uuid;
begin
  select u.user_id
  into known_id
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  where t.name = user_of_provider.tenant
    and lower(u.email) = lower(user_of_provider.email)
    and u.is_active
    and t.is_active
    and rate_limiter_internal.accepts_token_of(u.user_id, user_of_provider.issued_at);

  if found then
    -- Once a day, as every request comes by here.
    insert into rate_limiter_private.provider_accounts as p (user_id, last_seen_at)
    select known_id, current_timestamp
    where not exists (
      select
      from rate_limiter_private.provider_accounts as seen
      where seen.user_id = known_id
        and seen.last_seen_at > current_timestamp - interval '1 day'
    )
    on conflict on constraint provider_accounts_pkey do update
    set last_seen_at = excluded.last_seen_at;

    -- Once a token: of two at once the second one waits, and finds it done.
    insert into rate_limiter_private.provider_accounts as p (user_id, groups_issued_at)
    select known_id, user_of_provider.issued_at
    where user_of_provider.groups is not null
      and not exists (
        select
        from rate_limiter_private.provider_accounts as seen
        where seen.user_id = known_id
          and seen.groups_issued_at >= user_of_provider.issued_at
      )
    on conflict on constraint provider_accounts_pkey do update
    set groups_issued_at = excluded.groups_issued_at
    where p.groups_issued_at is null
      or p.groups_issued_at < excluded.groups_issued_at;

    if found then
      perform rate_limiter_private.follow_groups(
        known_id, user_of_provider.groups, user_of_provider.expires_at
      );
    end if;
  end if;

  return known_id;
end;
$$;

comment on function rate_limiter_private.user_of_provider(
  text, text, timestamptz, timestamptz, text[]
) is
  'The active user of a tenant with this address, which an identity provider has verified; null '
  'where there is none, or where the user''s sessions were ended after the token was issued. Roles '
  'follow the groups that the token names; null where groups are not looked at.';
grant execute on function rate_limiter_private.user_of_provider(
  text, text, timestamptz, timestamptz, text[]
) to rate_limiter_authenticator;
--! EndIncluded rate_limiter_private/sign_in/user_of_provider.sql
--! Included rate_limiter_private/sign_in/create_administrator.sql
create or replace function rate_limiter_private.create_administrator(
  tenant text,
  username text,
  email text,
  password_hash text
)
returns uuid
language plpgsql
volatile
parallel unsafe
as $$
declare
  home_id uuid;
  administrator_id uuid;
begin
  insert into rate_limiter.tenants (name, description)
  values (create_administrator.tenant, 'Operators of the system')
  on conflict on constraint tenants_name_key do nothing;

  select t.tenant_id
  into home_id
  from rate_limiter.tenants as t
  where t.name = create_administrator.tenant;

  if exists (
    select
    from rate_limiter.users as u
    where u.tenant_id = home_id
      and lower(u.email) = lower(create_administrator.email)
  ) then
    raise exception using
      errcode = 'QS409',
      message = 'user already exists',
      hint = 'Give that user the role system_admin instead.';
  end if;

  insert into rate_limiter.users (tenant_id, username, email)
  values (home_id, create_administrator.username, create_administrator.email)
  returning user_id into administrator_id;

  perform rate_limiter_private.set_password(administrator_id, create_administrator.password_hash);

  insert into rate_limiter.user_roles (user_id, role_id)
  select administrator_id, r.role_id
  from rate_limiter.roles as r
  where r.name = 'system_admin';

  return administrator_id;
end;
$$;

comment on function rate_limiter_private.create_administrator(text, text, text, text) is
  'Makes a system administrator, and the tenant to put one in where it is missing. For the '
  'operator of the database: granted to no role.';
--! EndIncluded rate_limiter_private/sign_in/create_administrator.sql
--! Included rate_limiter_private/sign_in/has_administrator.sql
create or replace function rate_limiter_private.has_administrator()
returns boolean
language sql
stable
parallel safe
as $$
  select exists (
    select
    from rate_limiter.user_roles as ur
    join rate_limiter.roles as r on r.role_id = ur.role_id
    join rate_limiter.users as u on u.user_id = ur.user_id
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    where r.name = 'system_admin'
      and u.is_active
      and not u.is_service_account
      and t.is_active
      and (ur.expires_at is null or ur.expires_at > current_timestamp)
  );
$$;

comment on function rate_limiter_private.has_administrator() is
  'Whether a user administers the system: a first start makes an administrator where not.';
--! EndIncluded rate_limiter_private/sign_in/has_administrator.sql
--! Included rate_limiter_private/sign_in/operator.sql
create or replace function rate_limiter_private.operator(email text default null)
returns uuid
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  found_ids uuid[];
begin
  select array_agg(u.user_id)
  into found_ids
  from rate_limiter.users as u
  join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
  join rate_limiter.user_roles as ur on ur.user_id = u.user_id
  join rate_limiter.roles as r on r.role_id = ur.role_id
  where u.is_active
    and not u.is_service_account
    and t.is_active
    and r.name = 'system_admin'
    and r.is_system
    and (ur.expires_at is null or ur.expires_at > clock_timestamp())
    and (operator.email is null or lower(u.email) = lower(operator.email));

  if cardinality(found_ids) = 1 then
    return found_ids[1];
  end if;
  if found_ids is null then
    raise exception using
      errcode = 'QS404',
      message = 'unknown user',
      detail = format('system administrator: %s', coalesce(operator.email, 'any')),
      hint = 'Name a system administrator by address (--as), or make one with create-admin.';
  end if;
  raise exception using
    errcode = 'QS422',
    message = 'several administrators could be meant',
    detail = format('administrators: %s', cardinality(found_ids)),
    hint = 'Say by --as or QOS_OPERATOR whose changes these are: the audit keeps it.';
end;
$$;

comment on function rate_limiter_private.operator(text) is
  'The system administrator in whose name the owner of the database works: the one of this '
  'address, or the only one. For the command line of operators.';
--! EndIncluded rate_limiter_private/sign_in/operator.sql
--! Included rate_limiter_admin/sign_in/reset_second_factor.sql
create or replace function rate_limiter_admin.reset_second_factor(user_id uuid)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_access_to_give(reset_second_factor.user_id);

  delete from rate_limiter_private.second_factors as f
  where f.user_id = reset_second_factor.user_id;

  if not found then
    return false;
  end if;

  perform rate_limiter_private.revoke_sessions(
    reset_second_factor.user_id, 'second_factor_changed'
  );
  perform rate_limiter_internal.write_audit(
    'reset_second_factor', 'users', reset_second_factor.user_id,
    rate_limiter_internal.tenant_of(
      jsonb_build_object('user_id', reset_second_factor.user_id)
    ),
    null
  );
  return true;
end;
$$;

comment on function rate_limiter_admin.reset_second_factor(uuid) is
  E'@resultFieldName isReset\n'
  'Removes the second factor of another user, who lost it, and ends that user''s sessions; answers '
  'whether there was one.';
grant execute on function rate_limiter_admin.reset_second_factor(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/sign_in/reset_second_factor.sql
--! Included rate_limiter_admin/sign_in/logout.sql
create or replace function rate_limiter_admin.logout()
returns boolean
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_private.end_session(
    rate_limiter_internal.context_text('session_id')::uuid,
    rate_limiter_internal.current_user_id(),
    'logout'
  );
$$;

comment on function rate_limiter_admin.logout() is
  E'@resultFieldName isEnded\n'
  'Ends this session; answers whether there was one to end.';
grant execute on function rate_limiter_admin.logout() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/sign_in/logout.sql
--! Included rate_limiter_admin/sign_in/logout_everywhere.sql
create or replace function rate_limiter_admin.logout_everywhere()
returns integer
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select rate_limiter_private.logout_everywhere(rate_limiter_internal.current_user_id());
$$;

comment on function rate_limiter_admin.logout_everywhere() is
  E'@resultFieldName endedSessions\n'
  'Ends all your sessions, this one too; answers how many there were.';
grant execute on function rate_limiter_admin.logout_everywhere() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/sign_in/logout_everywhere.sql
--! Included rate_limiter_admin/sign_in/revoke_session.sql
create or replace function rate_limiter_admin.revoke_session(session_id uuid)
returns boolean
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  me constant uuid := rate_limiter_internal.current_user_id();
  owner_id constant uuid := (
    select s.user_id
    from rate_limiter_private.user_sessions as s
    where s.session_id = revoke_session.session_id
  );
begin
  perform rate_limiter_internal.require_read_committed();
  -- Another user's session is as unknown as one that never was, unless one may manage that user.
  if owner_id is distinct from me
    and not coalesce(rate_limiter_internal.may_manage_user(owner_id), false)
  then
    return false;
  end if;

  return rate_limiter_private.end_session(
    revoke_session.session_id,
    owner_id,
    case when owner_id = me then 'logout' else 'administrator' end
  );
end;
$$;

comment on function rate_limiter_admin.revoke_session(uuid) is
  E'@resultFieldName isEnded\n'
  'Ends one of your sessions, or of a user that you may manage; answers whether there was one.';
grant execute on function rate_limiter_admin.revoke_session(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/sign_in/revoke_session.sql
--! Included rate_limiter_private/sign_in/expire_sessions.sql
create or replace function rate_limiter_private.expire_sessions(
  at timestamptz,
  batch_size integer default 1000
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  token_count integer;
  failure_count integer;
  answer_count integer;
  invitation_count integer;
begin
  with ended as (
    select t.token_hash
    from rate_limiter_private.used_refresh_tokens as t
    join rate_limiter_private.user_sessions as s on s.session_id = t.session_id
    where s.revoked_at <= at or s.refresh_expires_at <= at
    limit batch_size
    for update of t skip locked
  )
  delete from rate_limiter_private.used_refresh_tokens as t
  using ended as e
  where t.token_hash = e.token_hash;
  get diagnostics token_count = row_count;

  with quiet as (
    select f.account, f.network
    from rate_limiter_private.login_failures as f
    where f.last_failed_at <= at - interval '24 hours'
      and (f.locked_until is null or f.locked_until <= at)
    limit batch_size
    for update skip locked
  )
  delete from rate_limiter_private.login_failures as f
  using quiet as q
  where f.account = q.account
    and f.network = q.network;
  get diagnostics failure_count = row_count;

  with old as (
    select a.user_id, a.key_hash
    from rate_limiter_private.kept_answers as a
    where a.made_at <= at - interval '24 hours'
    limit batch_size
    for update skip locked
  )
  delete from rate_limiter_private.kept_answers as a
  using old as o
  where a.user_id = o.user_id
    and a.key_hash = o.key_hash;
  get diagnostics answer_count = row_count;

  with old as (
    select i.invitation_id
    from rate_limiter_private.invitations as i
    where i.expires_at <= at - interval '30 days'
    limit batch_size
    for update skip locked
  )
  delete from rate_limiter_private.invitations as i
  using old as o
  where i.invitation_id = o.invitation_id;
  get diagnostics invitation_count = row_count;

  return greatest(token_count, failure_count, answer_count, invitation_count);
end;
$$;

comment on function rate_limiter_private.expire_sessions(timestamptz, integer) is
  'Job: clears away what sessions need only while they last, the spent refresh tokens, failures '
  'to sign in that delay no attempt any more, answers that were kept for a day, and invitations '
  'that ended a month ago. The sessions themselves stay for as long as their retention policy '
  'says. Call it until it answers less than batch_size.';
grant execute on function rate_limiter_private.expire_sessions(timestamptz, integer)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/sign_in/expire_sessions.sql
--! Included rate_limiter_admin/sign_in/user_sessions.sql
-- As for api_keys: the table holds hashes.
create or replace view rate_limiter_admin.user_sessions
with (security_barrier = true) as
select
  s.session_id,
  s.user_id,
  s.ip_address,
  s.user_agent,
  s.created_at,
  s.last_used_at,
  s.expires_at,
  s.revoked_at,
  s.revoke_reason
from rate_limiter_private.user_sessions as s
where s.user_id = (select rate_limiter_internal.current_user_id())
  or rate_limiter_internal.may_manage_user(s.user_id);

comment on view rate_limiter_admin.user_sessions is
  E'@primaryKey session_id\n'
  '@foreignKey (user_id) references rate_limiter.users (user_id)|'
  '@fieldName user|@foreignFieldName sessions\n'
  'Your sessions, and those of the users that you may manage.';
comment on column rate_limiter_admin.user_sessions.session_id is 'The session.';
comment on column rate_limiter_admin.user_sessions.user_id is 'Who signed in.';
comment on column rate_limiter_admin.user_sessions.ip_address is 'Where from.';
comment on column rate_limiter_admin.user_sessions.user_agent is 'With which client.';
comment on column rate_limiter_admin.user_sessions.created_at is 'When.';
comment on column rate_limiter_admin.user_sessions.last_used_at is 'The latest refresh.';
comment on column rate_limiter_admin.user_sessions.expires_at is 'When it ends by itself.';
comment on column rate_limiter_admin.user_sessions.revoked_at is 'When it was ended early.';
comment on column rate_limiter_admin.user_sessions.revoke_reason is 'Why it was ended early.';

revoke all on rate_limiter_admin.user_sessions from rate_limiter_visitor;
grant select on rate_limiter_admin.user_sessions to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/sign_in/user_sessions.sql
--! Included rate_limiter_admin/sign_in/service_tokens.sql
-- As for api_keys: the table holds hashes.
create or replace view rate_limiter_admin.service_tokens
with (security_barrier = true) as
select
  t.token_id,
  t.user_id,
  t.prefix,
  t.name,
  t.permissions,
  t.created_at,
  t.created_by,
  t.expires_at,
  t.last_used_at,
  t.revoked_at,
  t.revoked_by
from rate_limiter_private.service_tokens as t
where t.user_id = (select rate_limiter_internal.current_user_id())
  or rate_limiter_internal.may_manage_user(t.user_id);

comment on view rate_limiter_admin.service_tokens is
  E'@primaryKey token_id\n'
  '@foreignKey (user_id) references rate_limiter.users (user_id)|'
  '@fieldName serviceAccount|@foreignFieldName serviceTokens\n'
  'Tokens of the service accounts that you may manage, by their first characters.';
comment on column rate_limiter_admin.service_tokens.token_id is 'Names the token.';
comment on column rate_limiter_admin.service_tokens.user_id is 'The service account.';
comment on column rate_limiter_admin.service_tokens.prefix is 'First 12 characters of the token.';
comment on column rate_limiter_admin.service_tokens.name is 'What people call it.';
comment on column rate_limiter_admin.service_tokens.permissions is
  'What of the account''s permissions it may use, such as quota:update; all where null.';
comment on column rate_limiter_admin.service_tokens.created_at is 'When it was made.';
comment on column rate_limiter_admin.service_tokens.created_by is 'The user who made it.';
comment on column rate_limiter_admin.service_tokens.expires_at is 'When it stops working.';
comment on column rate_limiter_admin.service_tokens.last_used_at is
  'When it was last used, to a minute.';
comment on column rate_limiter_admin.service_tokens.revoked_at is 'When it was taken back.';
comment on column rate_limiter_admin.service_tokens.revoked_by is 'The user who took it back.';

revoke all on rate_limiter_admin.service_tokens from rate_limiter_visitor;
grant select on rate_limiter_admin.service_tokens to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/sign_in/service_tokens.sql
--! Included rate_limiter_admin/sign_in/grants.sql
-- What is listed is what could be read one by one: roles and mappings by their policies, tokens as
-- service_tokens shows them.
create or replace view rate_limiter_admin.grants
with (security_barrier = true) as
select
  ur.user_role_id as grant_id,
  'role'::rate_limiter_admin.grant_kind as kind,
  ur.assigned_by as given_by,
  ur.assigned_at as given_at,
  ur.expires_at as lasts_until,
  u.tenant_id,
  ur.user_id,
  ur.role_id,
  null::varchar(255) as group_name,
  -- Without a giver it was given by the operator at the database.
  ur.assigned_by is null
    or rate_limiter_internal.could_give_role(
      ur.assigned_by, ur.role_id, u.tenant_id, coalesce(ur.expires_at, 'infinity')
    ) as is_backed
from rate_limiter.user_roles as ur
join rate_limiter.users as u on u.user_id = ur.user_id
where (select rate_limiter_internal.may('tenant', 'update'))
  and (
    (select rate_limiter_internal.is_system_admin())
    or u.tenant_id = (select rate_limiter_internal.current_tenant_id())
  )
  and ur.mapping_id is null
  and (ur.expires_at is null or ur.expires_at > current_timestamp)

union all

select
  m.mapping_id, 'group', m.created_by, m.created_at, m.lasts_until, m.tenant_id, null, m.role_id,
  m.group_name,
  rate_limiter_internal.could_give_role(
    m.created_by, m.role_id, m.tenant_id, clock_timestamp()
  )
from rate_limiter.role_mappings as m
where (select rate_limiter_internal.may('tenant', 'update'))
  and (
    (select rate_limiter_internal.is_system_admin())
    or m.tenant_id = (select rate_limiter_internal.current_tenant_id())
  )
  and (m.lasts_until is null or m.lasts_until > current_timestamp)

union all

select
  t.token_id, 'service_token', t.created_by, t.created_at, t.expires_at, u.tenant_id, t.user_id,
  null, null, rate_limiter_internal.token_is_backed(t.token_id)
from rate_limiter_private.service_tokens as t
join rate_limiter.users as u on u.user_id = t.user_id
where (select rate_limiter_internal.may('tenant', 'update'))
  and (
    (select rate_limiter_internal.is_system_admin())
    or u.tenant_id = (select rate_limiter_internal.current_tenant_id())
  )
  and u.is_active
  and t.revoked_at is null
  and t.expires_at > current_timestamp;

comment on view rate_limiter_admin.grants is
  E'@primaryKey grant_id\n'
  '@foreignKey (user_id) references rate_limiter.users (user_id)|'
  '@fieldName user|@foreignFieldName grants\n'
  '@foreignKey (role_id) references rate_limiter.roles (role_id)|'
  '@fieldName role|@behavior -manyRelation:resource:list -manyRelation:resource:connection\n'
  'What users of your tenant were given that lasts, and by whom: roles, roles of groups, tokens of '
  'service accounts. Ask for isBacked: false to review what was given by those who could not give '
  'it now.';
comment on column rate_limiter_admin.grants.grant_id is
  'The assignment of the role, the mapping, or the token.';
comment on column rate_limiter_admin.grants.kind is 'What it is.';
comment on column rate_limiter_admin.grants.given_by is
  'Who answers for it; null where the operator gave it at the database.';
comment on column rate_limiter_admin.grants.given_at is 'When it was given, or adopted.';
comment on column rate_limiter_admin.grants.lasts_until is 'When it ends; never where null.';
comment on column rate_limiter_admin.grants.tenant_id is
  'The tenant whose users it is for; null for all.';
comment on column rate_limiter_admin.grants.user_id is
  'Who holds it; null for a role of a group.';
comment on column rate_limiter_admin.grants.role_id is
  'The role; null for a token, which has those of its account.';
comment on column rate_limiter_admin.grants.group_name is 'The group; null for the others.';
comment on column rate_limiter_admin.grants.is_backed is
  'Whether the giver could still give it. Where not, roles of groups and tokens give nothing, and '
  'roles of users wait for a review: revokeGrants, adoptGrants.';

revoke all on rate_limiter_admin.grants from rate_limiter_visitor;
grant select on rate_limiter_admin.grants to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/sign_in/grants.sql
--! Included rate_limiter_private/sign_in/service_tokens.triggers.sql
-- That it was used is not a change of it.
create or replace trigger audit_change
  after insert or delete or update of
    user_id, prefix, name, permissions, created_at, created_by, expires_at, revoked_at, revoked_by
  on rate_limiter_private.service_tokens
  for each row
  execute function rate_limiter_internal.audit_change('token_id', 'token_hash', 'last_used_at');
--! EndIncluded rate_limiter_private/sign_in/service_tokens.triggers.sql
--! Included rate_limiter_admin/sign_in/invitations.sql
-- As for api_keys: the table holds hashes.
create or replace view rate_limiter_admin.invitations
with (security_barrier = true) as
select
  i.invitation_id,
  i.user_id,
  i.created_at,
  i.created_by,
  i.expires_at,
  i.mailed_at,
  i.accepted_at,
  i.revoked_at
from rate_limiter_private.invitations as i
where rate_limiter_internal.may_manage_user(i.user_id);

comment on view rate_limiter_admin.invitations is
  E'@primaryKey invitation_id\n'
  '@foreignKey (user_id) references rate_limiter.users (user_id)|'
  '@fieldName user|@foreignFieldName invitations\n'
  'Invitations of the users that you may manage.';
comment on column rate_limiter_admin.invitations.invitation_id is 'The invitation.';
comment on column rate_limiter_admin.invitations.user_id is 'Who is invited.';
comment on column rate_limiter_admin.invitations.created_at is 'When it was made.';
comment on column rate_limiter_admin.invitations.created_by is 'Who invites.';
comment on column rate_limiter_admin.invitations.expires_at is 'When it stops working.';
comment on column rate_limiter_admin.invitations.mailed_at is 'When its mail was last handed over.';
comment on column rate_limiter_admin.invitations.accepted_at is 'When it was used.';
comment on column rate_limiter_admin.invitations.revoked_at is 'When it was taken back.';

revoke all on rate_limiter_admin.invitations from rate_limiter_visitor;
grant select on rate_limiter_admin.invitations to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/sign_in/invitations.sql
--! Included rate_limiter_private/sign_in/invitations.triggers.sql
create or replace trigger audit_change
  after insert or update or delete on rate_limiter_private.invitations
  for each row
  execute function rate_limiter_internal.audit_change(
    'invitation_id', 'token_hash', 'mailed_token_hash'
  );
--! EndIncluded rate_limiter_private/sign_in/invitations.triggers.sql
--! Included rate_limiter_private/sign_in/login_failures.grants.sql
revoke all on rate_limiter_private.login_failures
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.login_failures to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/sign_in/login_failures.grants.sql
--! Included rate_limiter_private/sign_in/second_factors.grants.sql
revoke all on rate_limiter_private.second_factors
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select (user_id, enrolled_at, confirmed_at)
  on rate_limiter_private.second_factors to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/sign_in/second_factors.grants.sql
--! Included rate_limiter_private/sign_in/service_tokens.grants.sql
revoke all on rate_limiter_private.service_tokens
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select (token_id, user_id, prefix, name, permissions, created_at, created_by, expires_at,
  last_used_at, revoked_at, revoked_by)
  on rate_limiter_private.service_tokens to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/sign_in/service_tokens.grants.sql
--! Included rate_limiter_private/sign_in/invitations.grants.sql
revoke all on rate_limiter_private.invitations
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select (invitation_id, user_id, created_at, created_by, expires_at, mailed_at, accepted_at,
  revoked_at)
  on rate_limiter_private.invitations to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/sign_in/invitations.grants.sql
--! Included rate_limiter_private/sign_in/provider_accounts.grants.sql
revoke all on rate_limiter_private.provider_accounts
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter_private.provider_accounts to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/sign_in/provider_accounts.grants.sql
--! Included rate_limiter_private/sign_in/user_secrets.grants.sql
revoke all on rate_limiter_private.user_secrets
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select (user_id, password_changed_at)
  on rate_limiter_private.user_secrets to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/sign_in/user_secrets.grants.sql
--! Included rate_limiter_private/sign_in/user_sessions.grants.sql
revoke all on rate_limiter_private.user_sessions
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select (session_id, user_id, ip_address, user_agent, created_at,
  last_used_at, refresh_expires_at, expires_at, revoked_at, revoke_reason)
  on rate_limiter_private.user_sessions to rate_limiter_readonly;
--! EndIncluded rate_limiter_private/sign_in/user_sessions.grants.sql
