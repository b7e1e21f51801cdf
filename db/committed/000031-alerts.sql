--! Previous: sha1:ef47782531126f7aa9714f058f091939172c1271
--! Hash: sha1:bdfb5f59f6652eb51241b19f81a7780359650010
--! Message: alerts

-- Alerts
--! Included rate_limiter_internal/alerts/refuse_delete_of_alert.sql
create or replace function rate_limiter_internal.refuse_delete_of_alert()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from rate_limiter.alert_history as h where h.alert_id = old.alert_id) then
    raise exception using
      errcode = 'QS409',
      message = 'alert has history',
      detail = format('alert: %s', old.alert_id),
      hint = 'Deactivate it instead.';
  end if;

  return old;
end;
$$;

comment on function rate_limiter_internal.refuse_delete_of_alert() is
  'Trigger: an alert that was ever triggered is deactivated, not deleted.';
--! EndIncluded rate_limiter_internal/alerts/refuse_delete_of_alert.sql
--! Included rate_limiter_admin/alerts/alert_of_id.sql
create or replace function rate_limiter_admin.alert_of_id(history_id uuid)
returns rate_limiter.alert_history
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  -- Row-level security shows what the one who asks may see.
  select h.*
  from rate_limiter.alert_history as h
  where h.history_id = alert_of_id.history_id;
$$;

comment on function rate_limiter_admin.alert_of_id(uuid) is
  'One alert, by the id that acknowledgeAlert takes.';
grant execute on function rate_limiter_admin.alert_of_id(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/alerts/alert_of_id.sql
--! Included rate_limiter_admin/alerts/acknowledge_alert.sql
create or replace function rate_limiter_admin.acknowledge_alert(history_id uuid)
returns rate_limiter.alert_history
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  found_alert rate_limiter.alert_history;
begin
  perform rate_limiter_internal.require_read_committed();
  -- Operators and administrators of applications acknowledge alerts.
  if not rate_limiter_internal.may('application', 'update') then
    perform rate_limiter_internal.require_permission('system', 'monitor');
  end if;
  perform rate_limiter_internal.require_tenant_not_suspended();

  select h.*
  into found_alert
  from rate_limiter.alert_history as h
  join rate_limiter.applications as a on a.app_id = h.app_id
  where h.history_id = acknowledge_alert.history_id
    and (
      rate_limiter_internal.is_system_admin()
      or a.tenant_id = rate_limiter_internal.current_tenant_id()
    )
  for update of h;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown alert',
      detail = format('alert: %s', history_id),
      hint = 'Check the id: alerts of other tenants are not to be seen.';
  end if;

  if found_alert.acknowledged_at is not null then
    raise exception using
      errcode = 'QS409',
      message = 'alert is acknowledged already',
      detail = format('alert: %s', history_id),
      hint = 'Another user has acknowledged it.';
  end if;

  update rate_limiter.alert_history as h
  set
    status = case h.status when 'triggered' then 'acknowledged' else h.status end,
    acknowledged_at = clock_timestamp(),
    acknowledged_by = rate_limiter_internal.current_user_id()
  where h.history_id = found_alert.history_id
    and h.triggered_at = found_alert.triggered_at
  returning h.* into found_alert;

  if found_alert.status = 'acknowledged' then
    perform rate_limiter_internal.add_alert_notifications(array[found_alert], 'acknowledged');
  end if;
  perform rate_limiter_internal.write_audit(
    'acknowledge', 'alert_history', history_id,
    rate_limiter_internal.tenant_of(jsonb_build_object('app_id', found_alert.app_id)),
    found_alert.app_id
  );
  return found_alert;
end;
$$;

comment on function rate_limiter_admin.acknowledge_alert(uuid) is
  E'@resultFieldName alert\n'
  'Acknowledges an alert. One that is resolved already stays resolved.';
grant execute on function rate_limiter_admin.acknowledge_alert(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/alerts/acknowledge_alert.sql
--! Included rate_limiter_admin/alerts/alert_channel.sql
create or replace function rate_limiter_admin.alert_channel()
returns text
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_permission('metrics', 'read');

  return case
    when rate_limiter_internal.is_system_admin() then 'rate_limiter_alerts'
    else 'rate_limiter_alerts_' || rate_limiter_internal.current_tenant_id()
  end;
end;
$$;

comment on function rate_limiter_admin.alert_channel() is
  E'@behavior -*\n'
  'Where the API hears of the alerts that the signed-in user may see.';
grant execute on function rate_limiter_admin.alert_channel() to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/alerts/alert_channel.sql
--! Included rate_limiter_internal/alerts/notify_alert.sql
create or replace function rate_limiter_internal.notify_alert()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
  payload constant text := jsonb_build_object(
    'history_id', new.history_id, 'triggered_at', new.triggered_at
  )::text;
begin
  perform pg_notify('rate_limiter_alerts', payload);
  perform pg_notify('rate_limiter_alerts_' || a.tenant_id, payload)
  from rate_limiter.applications as a
  where a.app_id = new.app_id;
  return null;
end;
$$;

comment on function rate_limiter_internal.notify_alert() is
  'Trigger: tells the API that an alert was triggered, acknowledged or resolved, on a channel for '
  'each tenant and on one for system administrators.';
--! EndIncluded rate_limiter_internal/alerts/notify_alert.sql
--! Included rate_limiter_internal/alerts/channel_problem.sql
create or replace function rate_limiter_internal.channel_problem(channel jsonb)
returns text
language sql
immutable
parallel safe
as $$
  with allowed (kind, fields) as (
    values
      ('log', array['channel', 'events']),
      ('webhook', array['channel', 'events', 'url', 'secret']),
      ('slack', array['channel', 'events', 'url']),
      ('email', array['channel', 'events', 'to'])
  )
  select case
    when jsonb_typeof(channel) is distinct from 'object' then 'channel is not an object'
    when not exists (select from allowed as a where to_jsonb(a.kind) = channel -> 'channel')
      then 'channel is not webhook, slack, email or log'
    when exists (
      select
      from jsonb_object_keys(channel) as f (field)
      where f.field <> all (
        select unnest(a.fields) from allowed as a where a.kind = channel ->> 'channel'
      )
    )
      then 'channel has a field that it does not take'
    when channel ? 'events' and (
      jsonb_typeof(channel -> 'events') <> 'array'
      or not channel -> 'events' <@ '["triggered", "acknowledged", "resolved"]'
    )
      then 'events are not of triggered, acknowledged and resolved'
    when channel ->> 'channel' in ('webhook', 'slack') and (
      coalesce(jsonb_typeof(channel -> 'url'), '') <> 'string'
      -- Visible ASCII, as URLs are: marks that hide text or turn it would show another host. No
      -- user and password before the host: they would end up in logs.
      or channel ->> 'url' !~ '^https?://[!-.0-?A-~]+(/[!-~]*)?$'
      or length(channel ->> 'url') > 2048
    )
      then 'url is not an http or https URL'
    when channel ? 'secret' and (
      jsonb_typeof(channel -> 'secret') <> 'string'
      or length(channel ->> 'secret') not between 16 and 256
    )
      then 'secret is not of 16 to 256 characters'
    when channel ->> 'channel' = 'email' and (
      coalesce(jsonb_typeof(channel -> 'to'), '') <> 'array'
      or jsonb_array_length(channel -> 'to') not between 1 and 20
      or exists (
        select
        from jsonb_array_elements(channel -> 'to') as t (address)
        where jsonb_typeof(t.address) <> 'string'
          or t.address #>> '{}' !~ '^[^@,;<>"]+@[^@,;<>"]+$'
          or t.address #>> '{}' !~ '^[!-~]+$'
          or length(t.address #>> '{}') > 254
      )
    )
      then 'to is not a list of 1 to 20 addresses'
  end;
$$;

comment on function rate_limiter_internal.channel_problem(jsonb) is
  'What is wrong with one channel of an alert; null if nothing is.';
--! EndIncluded rate_limiter_internal/alerts/channel_problem.sql
--! Included rate_limiter_internal/alerts/notification_channels.sql
create or replace function rate_limiter_internal.notification_channels(config jsonb)
returns table (channel_number integer, channel jsonb)
language sql
immutable
parallel safe
as $$
  select c.number::integer, c.channel
  from jsonb_array_elements(
    case
      when config ? 'channels' then config -> 'channels'
      when config ? 'channel' then jsonb_build_array(config)
      else '[]'
    end
  ) with ordinality as c (channel, number);
$$;

comment on function rate_limiter_internal.notification_channels(jsonb) is
  'The channels of a notification_config, which is one channel, {"channels": […]}, or {} for '
  'none.';
grant execute on function rate_limiter_internal.notification_channels(jsonb)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/alerts/notification_channels.sql
--! Included rate_limiter_internal/alerts/url_host.sql
create or replace function rate_limiter_internal.url_host(url text)
returns text
language sql
immutable
parallel safe
return lower(
  substring(
    url
    from E'^[A-Za-z][A-Za-z0-9+.-]*:/+(?:[^/?#\\\\]*@)?(\\[[0-9A-Fa-f:.]+\\]|[^]/?#:@\\\\[]+)'
  )
);

comment on function rate_limiter_internal.url_host(text) is
  'The host of a URL: neither user and password, nor port, path and query, which may be secrets.';
grant execute on function rate_limiter_internal.url_host(text) to rate_limiter_visitor;
--! EndIncluded rate_limiter_internal/alerts/url_host.sql
--! Included rate_limiter/alerts/alert_configs_destinations.sql
create or replace function rate_limiter.alert_configs_destinations(
  alert rate_limiter.alert_configs
)
returns rate_limiter_admin.alert_destination[]
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(array_agg(distinct d.destination), '{}')
  from rate_limiter_internal.notification_channels(alert.notification_config) as c
  cross join lateral (
    select row(
      c.channel ->> 'channel', rate_limiter_internal.url_host(c.channel ->> 'url')
    )::rate_limiter_admin.alert_destination
    where c.channel ->> 'channel' in ('webhook', 'slack')
    union all
    select row('email', lower(substring(t.address from '@([^@]*)$')))
      ::rate_limiter_admin.alert_destination
    from jsonb_array_elements_text(
      case jsonb_typeof(c.channel -> 'to')
        when 'array' then c.channel -> 'to'
        else jsonb_build_array(c.channel -> 'to')
      end
    ) as t (address)
    where c.channel ->> 'channel' = 'email'
    union all
    select row('log', null)::rate_limiter_admin.alert_destination
    where c.channel ->> 'channel' = 'log'
  ) as d (destination)
  -- Where default alerts are told is the operator's affair.
  where alert.app_id is not null or rate_limiter_internal.is_system_admin();
$$;

comment on function rate_limiter.alert_configs_destinations(rate_limiter.alert_configs) is
  'Where its notifications go: hosts of webhooks and domains of addresses, without paths, secrets '
  'and names.';
grant execute on function rate_limiter.alert_configs_destinations(rate_limiter.alert_configs)
  to rate_limiter_visitor;
--! EndIncluded rate_limiter/alerts/alert_configs_destinations.sql
--! Included rate_limiter_internal/alerts/notification_problem.sql
create or replace function rate_limiter_internal.notification_problem(config jsonb)
returns text
language plpgsql
immutable
parallel safe
as $$
begin
  if jsonb_typeof(config) is distinct from 'object' then
    return 'not an object';
  elsif config ? 'channels' and (
    config - 'channels' <> '{}' or jsonb_typeof(config -> 'channels') <> 'array'
  ) then
    return 'channels is not a list, or is not alone';
  elsif config <> '{}' and not config ? 'channels' and not config ? 'channel' then
    return 'neither a channel nor channels';
  end if;

  return (
    select case
      when count(*) > 20 then 'more than 20 channels'
      else min(format(
        'channel %s: %s',
        c.channel_number, rate_limiter_internal.channel_problem(c.channel)
      )) filter (where rate_limiter_internal.channel_problem(c.channel) is not null)
    end
    from rate_limiter_internal.notification_channels(config) as c
  );
end;
$$;

comment on function rate_limiter_internal.notification_problem(jsonb) is
  'What is wrong with the notification_config of an alert; null if nothing is.';
--! EndIncluded rate_limiter_internal/alerts/notification_problem.sql
--! Included rate_limiter_internal/alerts/address_number.sql
create or replace function rate_limiter_internal.address_number(label text)
returns numeric
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
  with written (digits, base) as (
    select case
      when label ~ '^0x[0-9a-f]*$' then ltrim(substr(label, 3), '0')
      when label ~ '^0[0-7]*$' then ltrim(label, '0')
      when label ~ '^[1-9][0-9]*$' then label
    end,
    case when label ~ '^0x' then 16 when label ~ '^0' then 8 else 10 end::numeric
  )
  select case
    when w.digits is not null then coalesce(
      (
        select sum(
          (strpos('0123456789abcdef', d.digit) - 1) * w.base ^ (length(w.digits) - d.place)
        )
        from unnest(string_to_array(w.digits, null)) with ordinality as d (digit, place)
      ),
      0
    )
  end
  from written as w;
$$;

comment on function rate_limiter_internal.address_number(text) is
  'One number of an IPv4 address, as URLs write it: 10, 012 or 0xa; null where it is not a number.';
--! EndIncluded rate_limiter_internal/alerts/address_number.sql
--! Included rate_limiter_internal/alerts/literal_address.sql
create or replace function rate_limiter_internal.literal_address(host text)
returns inet
language plpgsql
immutable
strict
parallel safe
as $$
declare
  labels constant text[] := string_to_array(regexp_replace(lower(host), '[.]$', ''), '.');
  label_count constant integer := cardinality(labels);
  position integer := 0;
  label text;
  number numeric;
  -- What the number may come to, and what it counts.
  most numeric;
  unit numeric;
  total numeric := 0;
begin
  if host ~ '^[[][0-9A-Fa-f:.]{2,45}[]]$' then
    return trim(both '[]' from host)::inet;
  elsif lower(host) ~ '^(.*[.])?localhost[.]?$' then
    return '127.0.0.1';
  -- A host whose last label is a number is one to four numbers; the last one fills the rest.
  elsif length(host) > 64 or label_count not between 1 and 4
    or labels[label_count] !~ '^([0-9]+|0x[0-9a-f]*)$'
  then
    return null;
  end if;

  foreach label in array labels loop
    position := position + 1;
    number := rate_limiter_internal.address_number(label);

    most := 256 ^ case when position = label_count then 5 - position else 1 end;
    unit := 256 ^ case when position = label_count then 0 else 4 - position end;

    if number is null or number >= most then
      return null;
    end if;

    total := total + number * unit;
  end loop;

  return '0.0.0.0'::inet + total::bigint;
exception
  when invalid_text_representation then
    return null;
end;
$$;

comment on function rate_limiter_internal.literal_address(text) is
  'The address that the host of a URL is, in any form that browsers and Node read: decimal, octal '
  'or hexadecimal, of one to four numbers, or IPv6 in brackets; null for a name.';
--! EndIncluded rate_limiter_internal/alerts/literal_address.sql
--! Included rate_limiter_internal/alerts/is_public_address.sql
create or replace function rate_limiter_internal.is_public_address(address inet)
returns boolean
language sql
immutable
parallel safe
as $$
  -- As in src/worker/alerts/address-guard.ts; a test compares both.
  select not exists (
    select
    from unnest(array[
      '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16',
      '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16',
      '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4',
      '::/3', '4000::/2', '8000::/1', '2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'
    ]::inet[]) as n (network)
    where n.network >>= address
  );
$$;

comment on function rate_limiter_internal.is_public_address(inet) is
  'Whether an address is of the public internet, neither private nor translated to IPv4.';
--! EndIncluded rate_limiter_internal/alerts/is_public_address.sql
--! Included rate_limiter_internal/alerts/require_public_host.sql
create or replace function rate_limiter_internal.require_public_host(
  url text,
  allowed_networks inet[],
  setting_name text
)
returns void
language plpgsql
stable
parallel safe
as $$
declare
  host constant text := rate_limiter_internal.url_host(url);
  address constant inet := rate_limiter_internal.literal_address(host);
begin
  -- Escapes and letters that are read as digits would hide an address.
  if host ~ '^[A-Za-z0-9._-]+$|^[[][0-9A-Fa-f:.]+[]]$'
    and (
      address is null
      or rate_limiter_internal.is_public_address(address)
      or address <<= any (allowed_networks)
    )
  then
    return;
  end if;

  raise exception using
    errcode = 'QS422',
    message = 'address is not public',
    detail = format('host: %s', host),
    hint = format(
      'Name a host of the public internet, or have the operator add its network to %s of the '
      'workers: those that run now do not allow it.',
      setting_name
    );
end;
$$;

comment on function rate_limiter_internal.require_public_host(text, inet[], text) is
  'Refuses a URL whose host is visibly private and in none of these networks (QS422). A name is '
  'looked up when it is called.';
--! EndIncluded rate_limiter_internal/alerts/require_public_host.sql
--! Included rate_limiter_internal/alerts/check_notification.sql
create or replace function rate_limiter_internal.check_notification()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  problem constant text := rate_limiter_internal.notification_problem(new.notification_config);
begin
  if problem is null then
    return new;
  end if;

  raise exception using
    errcode = 'QS422',
    message = 'notification config does not fit',
    detail = problem,
    hint = 'One channel such as {"channel": "webhook", "url": "https://…"}, or {"channels": […]}.';
end;
$$;

comment on function rate_limiter_internal.check_notification() is
  'Trigger: refuses an alert whose notifications could not be delivered (QS422).';
--! EndIncluded rate_limiter_internal/alerts/check_notification.sql
--! Included rate_limiter_internal/alerts/check_destinations.sql
create or replace function rate_limiter_internal.check_destinations()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform rate_limiter_internal.require_public_host(
    c.channel ->> 'url',
    array(
      select n.network
      from rate_limiter_private.job_workers as w
      cross join lateral unnest(w.webhook_networks) as n (network)
    ),
    'ALERT_ALLOWED_NETWORKS'
  )
  from rate_limiter_internal.notification_channels(new.notification_config) as c
  where c.channel ->> 'channel' in ('webhook', 'slack');

  return new;
end;
$$;

comment on function rate_limiter_internal.check_destinations() is
  'Trigger: refuses people an alert whose webhook is at an address that no worker would call '
  '(QS422).';
--! EndIncluded rate_limiter_internal/alerts/check_destinations.sql
--! Included rate_limiter_internal/alerts/require_few_alerts.sql
create or replace function rate_limiter_internal.require_few_alerts()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  -- One job evaluates the alerts of all tenants, each minute.
  most constant integer := 100;
  alert_count bigint;
begin
  -- Else requests at once would count without each other.
  perform from rate_limiter.applications as a where a.app_id = new.app_id for no key update;
  select count(*)
  into alert_count
  from rate_limiter.alert_configs as c
  where c.app_id = new.app_id and c.alert_id <> new.alert_id;

  if alert_count < most then
    return new;
  end if;

  raise exception using
    errcode = 'QS422',
    message = 'too many alerts of an application',
    detail = format('application: %s, alerts: %s', new.app_id, alert_count),
    hint = format('An application has up to %s alerts: delete some, inactive ones too.', most);
end;
$$;

comment on function rate_limiter_internal.require_few_alerts() is
  'Trigger: refuses people more alerts of an application than one job evaluates for it (QS422).';
--! EndIncluded rate_limiter_internal/alerts/require_few_alerts.sql
--! Included rate_limiter_internal/alerts/condition_matches.sql
create or replace function rate_limiter_internal.condition_matches(
  value double precision,
  condition text,
  threshold_value double precision
)
returns boolean
language sql
immutable
parallel safe
return case condition
  when '>' then value > threshold_value
  when '<' then value < threshold_value
  when '>=' then value >= threshold_value
  when '<=' then value <= threshold_value
  when '=' then value = threshold_value
  when '!=' then value <> threshold_value
end;

comment on function rate_limiter_internal.condition_matches(
  double precision, text, double precision
) is 'Whether a sample meets the condition of an alert.';
--! EndIncluded rate_limiter_internal/alerts/condition_matches.sql
--! Included rate_limiter_internal/alerts/is_counted_by_minute.sql
create or replace function rate_limiter_internal.is_counted_by_minute(metric_name text)
returns boolean
language sql
immutable
parallel safe
return starts_with(metric_name, 'qos_')
  and not starts_with(metric_name, 'qos_bucket_fill_')
  and metric_name <> 'qos_cluster_health';

comment on function rate_limiter_internal.is_counted_by_minute(text) is
  'Whether a metric is one of the system''s counts: a sample for each minute, stamped with its '
  'end; a minute without one counts as zero once it is complete.';
--! EndIncluded rate_limiter_internal/alerts/is_counted_by_minute.sql
--! Included rate_limiter_internal/alerts/round_alert_duration.sql
create or replace function rate_limiter_internal.round_alert_duration()
returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if rate_limiter_internal.is_counted_by_minute(new.metric_name) then
    new.duration_seconds := 60 * ceil(new.duration_seconds / 60.0);
  end if;
  return new;
end;
$$;

comment on function rate_limiter_internal.round_alert_duration() is
  'Trigger: an alert on a count of the system lasts whole minutes, as its samples do: a shorter '
  'duration is rounded up.';
--! EndIncluded rate_limiter_internal/alerts/round_alert_duration.sql
--! Included rate_limiter_internal/alerts/complete_minutes.sql
create or replace function rate_limiter_internal.complete_minutes(
  at timestamptz,
  out evaluated_until timestamptz,
  out complete_until timestamptz
)
returns record
language sql
stable
parallel safe
as $$
  with ends as (
    -- A run of record_system_metrics counts the two minutes before its own once more: of a minute
    -- that it wrote twice, what came within a minute of its end is in.
    select
      least(
        date_trunc('minute', at, 'UTC'),
        (
          select p.done_until
          from rate_limiter_private.job_progress as p
          where p.job = 'record_system_metrics'
        )
      ) - interval '1 minute' as complete_until
  )
  select
    -- A clock that ran ahead and stepped back leaves no minute out from then on.
    least(p.done_until, e.complete_until), e.complete_until
  from ends as e
  left join rate_limiter_private.job_progress as p on p.job = 'evaluate_alerts';
$$;

comment on function rate_limiter_internal.complete_minutes(timestamptz) is
  'Up to which minute''s end alerts on the system''s counts were evaluated, null for never, and up '
  'to which they can be; null where nothing was counted yet.';
--! EndIncluded rate_limiter_internal/alerts/complete_minutes.sql
--! Included rate_limiter_internal/alerts/counted_window.sql
create or replace function rate_limiter_internal.counted_window(
  app_id uuid,
  metric_name text,
  condition text,
  threshold_value double precision,
  minutes integer,
  until timestamptz,
  out every_one_holds boolean,
  out any_holds boolean,
  out latest_value double precision
)
returns record
language sql
stable
parallel safe
as $$
  with samples as (
    select
      m."timestamp",
      m.value,
      rate_limiter_internal.condition_matches(m.value, condition, threshold_value) as holds
    from rate_limiter_internal.metrics as m
    where m.app_id = counted_window.app_id
      and m.metric_name = counted_window.metric_name
      and m."timestamp" > until - make_interval(mins => minutes)
      and m."timestamp" <= until
  ),
  known as (
    select
      coalesce(bool_and(s.holds), true) as all_hold,
      coalesce(bool_or(s.holds), false) as any_holds,
      count(distinct s."timestamp") < minutes as has_zero,
      rate_limiter_internal.condition_matches(0, condition, threshold_value) as zero_holds,
      max(s.value) filter (where s."timestamp" = until) as latest_value
    from samples as s
  )
  select
    k.all_hold and (k.zero_holds or not k.has_zero),
    k.any_holds or (k.zero_holds and k.has_zero),
    coalesce(k.latest_value, 0)
  from known as k;
$$;

comment on function rate_limiter_internal.counted_window(
  uuid, text, text, double precision, integer, timestamptz
) is
  'Whether every minute of a window, and whether any, meets the condition of an alert on a count '
  'of the system. A minute without a sample counts as zero.';
--! EndIncluded rate_limiter_internal/alerts/counted_window.sql
--! Included rate_limiter_internal/alerts/stirred_default_alerts.sql
create or replace function rate_limiter_internal.stirred_default_alerts(
  at timestamptz,
  complete_until timestamptz,
  only_app_id uuid default null
)
returns table (alert_id uuid, app_id uuid)
language sql
stable
parallel safe
as $$
  with rules as (
    select
      c.*,
      w.is_counted,
      w.is_counted
        and rate_limiter_internal.condition_matches(0, c.condition, c.threshold_value)
        as holds_in_silence,
      case when w.is_counted then complete_until else stirred_default_alerts.at end as until
    from rate_limiter.alert_configs as c
    cross join lateral rate_limiter_internal.is_counted_by_minute(c.metric_name) as w (is_counted)
    where c.app_id is null
      and c.is_active
      and rate_limiter_internal.setting_boolean('default_alerts')
  )
  select r.alert_id, s.app_id
  from rules as r
  cross join lateral (
    -- No look at what is quiet: one span of the index finds what meets the condition at all.
    select m.app_id
    from rate_limiter_internal.metrics as m
    where m.metric_name = r.metric_name
      and m."timestamp" > r.until - make_interval(secs => greatest(r.duration_seconds, 180))
      and m."timestamp" <= r.until
      and rate_limiter_internal.condition_matches(m.value, r.condition, r.threshold_value)
      and (only_app_id is null or m.app_id = only_app_id)
    union
    select h.app_id
    from rate_limiter.alert_history as h
    where h.alert_id = r.alert_id
      and h.status <> 'resolved'
    union
    select every.app_id
    from rate_limiter.applications as every
    where r.holds_in_silence
  ) as s
  join rate_limiter.applications as a on a.app_id = s.app_id
  join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
  where a.is_active
    and t.has_default_alerts
    and (only_app_id is null or a.app_id = only_app_id);
$$;

comment on function rate_limiter_internal.stirred_default_alerts(
  timestamptz, timestamptz, uuid
) is
  'Each default alert with the applications, or the one, that it could trigger or resolve for: '
  'those with a sample in its window that meets its condition, and those that it is triggered for.';
--! EndIncluded rate_limiter_internal/alerts/stirred_default_alerts.sql
--! Included rate_limiter_internal/alerts/evaluate_samples.sql
create or replace function rate_limiter_internal.evaluate_samples(
  at timestamptz,
  app_id uuid,
  metric_name text,
  condition text,
  threshold_value double precision,
  duration_seconds integer,
  is_triggered boolean
)
returns table (triggers boolean, resolves boolean, latest_value double precision)
language sql
stable
parallel safe
as $$
  -- The window ends with the latest sample, which may have come after the look at the moment that
  -- it is stamped with. It is read where the latest sample may trigger, no more.
  select coalesce(in_window.every_one_holds, false), not latest.holds, latest.value
  from (
    select
      m."timestamp" as taken_at,
      m.value,
      rate_limiter_internal.condition_matches(m.value, condition, threshold_value) as holds
    from rate_limiter_internal.metrics as m
    where m.app_id = evaluate_samples.app_id
      and m.metric_name = evaluate_samples.metric_name
      and m."timestamp" > at - interval '24 hours' - make_interval(secs => duration_seconds)
      and m."timestamp" <= at
    order by m."timestamp" desc, m.metric_id
    limit 1
  ) as latest
  left join lateral (
    select
      bool_and(rate_limiter_internal.condition_matches(m.value, condition, threshold_value))
        as every_one_holds
    from rate_limiter_internal.metrics as m
    where not is_triggered
      and latest.holds
      and m.app_id = evaluate_samples.app_id
      and m.metric_name = evaluate_samples.metric_name
      and m."timestamp" > latest.taken_at - make_interval(secs => duration_seconds)
      and m."timestamp" <= latest.taken_at
      -- Nothing triggers by what is older than its window, but for samples of each minute.
      and latest.taken_at > at - make_interval(secs => greatest(duration_seconds, 150))
  ) as in_window on true;
$$;

comment on function rate_limiter_internal.evaluate_samples(
  timestamptz, uuid, text, text, double precision, integer, boolean
) is
  'What the samples of others say of an alert at a moment; no row without a sample. To be inlined '
  'where it is called for many alerts.';
--! EndIncluded rate_limiter_internal/alerts/evaluate_samples.sql
--! Included rate_limiter_internal/alerts/evaluate_counts.sql
create or replace function rate_limiter_internal.evaluate_counts(
  evaluated_until timestamptz,
  complete_until timestamptz,
  app_id uuid,
  metric_name text,
  condition text,
  threshold_value double precision,
  duration_seconds integer,
  is_triggered boolean
)
returns table (triggers boolean, resolves boolean, latest_value double precision)
language sql
stable
parallel safe
as $$
  -- Each minute when it is complete, and with the next one once more for what was reported late.
  select found.triggers, false, found.value
  from (
    select greatest(
      evaluated_until,
      complete_until + interval '1 minute' - make_interval(secs => greatest(duration_seconds, 180))
    ) as from_minute
  ) as span
  cross join lateral (
    select bool_or(c.every_one_holds) as triggers,
      (array_agg(c.latest_value order by m.until desc) filter (where c.every_one_holds))[1] as value
    from generate_series(span.from_minute, complete_until, interval '1 minute') as m (until)
    cross join lateral rate_limiter_internal.counted_window(
      app_id, metric_name, condition, threshold_value,
      ceil(duration_seconds / 60.0)::integer, m.until
    ) as c
    -- Where a minute without a sample does not meet the condition, each of these minutes needs one
    -- that does: nearly every alert is done with by this look at the last two.
    where rate_limiter_internal.condition_matches(0, condition, threshold_value)
      or exists (
        select
        from rate_limiter_internal.metrics as s
        where s.app_id = evaluate_counts.app_id
          and s.metric_name = evaluate_counts.metric_name
          and s."timestamp" >= span.from_minute
          and s."timestamp" <= complete_until
          and rate_limiter_internal.condition_matches(s.value, condition, threshold_value)
      )
  ) as found
  where not is_triggered
    and complete_until is not null
    and evaluated_until is distinct from complete_until
    and found.triggers
  union all
  -- Two minutes: a report that is late by less changes no zero that has resolved an alert.
  select false, not recent.any_holds, recent.latest_value
  from rate_limiter_internal.counted_window(
    app_id, metric_name, condition, threshold_value, 2, complete_until
  ) as recent
  where is_triggered
    and complete_until is not null
    and evaluated_until is distinct from complete_until;
$$;

comment on function rate_limiter_internal.evaluate_counts(
  timestamptz, timestamptz, uuid, text, text, double precision, integer, boolean
) is
  'What the system''s counts say of an alert, from the minute up to which it was evaluated to the '
  'last complete one; no row where that is nothing new. To be inlined where it is called for many '
  'alerts.';
--! EndIncluded rate_limiter_internal/alerts/evaluate_counts.sql
--! Included rate_limiter_internal/alerts/alert_evaluations.sql
drop function if exists rate_limiter_internal.alert_evaluations(timestamptz, uuid);

create or replace function rate_limiter_internal.alert_evaluations(
  at timestamptz,
  evaluated_until timestamptz,
  complete_until timestamptz,
  only_app_id uuid default null
)
returns table (
  alert_id uuid,
  app_id uuid,
  triggers boolean,
  resolves boolean,
  latest_value double precision
)
language sql
stable
parallel safe
as $$
  with pairs as (
    select c.alert_id, c.app_id
    from rate_limiter.alert_configs as c
    join rate_limiter.applications as a on a.app_id = c.app_id
    where c.is_active
      and a.is_active
      and (only_app_id is null or c.app_id = only_app_id)
    union all
    select d.alert_id, d.app_id
    from rate_limiter_internal.stirred_default_alerts(at, complete_until, only_app_id) as d
  ),
  watched as materialized (
    select
      p.alert_id,
      p.app_id,
      c.metric_name,
      c.condition,
      c.threshold_value,
      c.duration_seconds,
      rate_limiter_internal.is_counted_by_minute(c.metric_name) as is_counted,
      (p.alert_id, p.app_id) in (
        select h.alert_id, h.app_id
        from rate_limiter.alert_history as h
        where h.status <> 'resolved'
      ) as is_triggered
    from pairs as p
    join rate_limiter.alert_configs as c on c.alert_id = p.alert_id
  )
  select w.alert_id, w.app_id, e.triggers, e.resolves, e.latest_value
  from watched as w
  cross join lateral rate_limiter_internal.evaluate_samples(
    alert_evaluations.at, w.app_id, w.metric_name, w.condition, w.threshold_value,
    w.duration_seconds, w.is_triggered
  ) as e
  where not w.is_counted
  union all
  select w.alert_id, w.app_id, e.triggers, e.resolves, e.latest_value
  from watched as w
  cross join lateral rate_limiter_internal.evaluate_counts(
    evaluated_until, complete_until, w.app_id, w.metric_name, w.condition, w.threshold_value,
    w.duration_seconds, w.is_triggered
  ) as e
  where w.is_counted;
$$;

comment on function rate_limiter_internal.alert_evaluations(
  timestamptz, timestamptz, timestamptz, uuid
) is
  'What samples say of each active alert and application, or of one application: whether it '
  'triggers, whether it resolves, and the value for that. A row may be missing or say neither: '
  'nothing is new then.';
--! EndIncluded rate_limiter_internal/alerts/alert_evaluations.sql
--! Included rate_limiter_internal/alerts/alert_triggers.sql
create or replace function rate_limiter_internal.alert_triggers(
  app_id uuid,
  metric_name text,
  condition text,
  threshold_value double precision,
  duration_seconds integer,
  cooldown_seconds integer,
  since timestamptz,
  until timestamptz
)
returns timestamptz[]
language plpgsql
stable
parallel safe
-- A plan for each of the 1440 minutes of a day takes 15 times as long as all that they read.
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  is_counted constant boolean := rate_limiter_internal.is_counted_by_minute(metric_name);
  triggered_at timestamptz[] := '{}';
  is_triggered boolean := false;
  at timestamptz;
  evaluation record;
begin
  for at in
    select generate_series(
      date_trunc('minute', since, 'UTC') + interval '1 minute', until, interval '1 minute'
    )
  loop
    if is_counted then
      select * into evaluation
      from rate_limiter_internal.evaluate_counts(
        at - interval '2 minutes', at - interval '1 minute', app_id, metric_name, condition,
        threshold_value, duration_seconds, is_triggered
      );
    else
      select * into evaluation
      from rate_limiter_internal.evaluate_samples(
        at, app_id, metric_name, condition, threshold_value, duration_seconds, is_triggered
      );
    end if;

    if is_triggered then
      is_triggered := evaluation.resolves is not true;
    elsif evaluation.triggers
      and coalesce(
        triggered_at[cardinality(triggered_at)] <= at - make_interval(secs => cooldown_seconds),
        true
      )
    then
      is_triggered := true;
      triggered_at := triggered_at || at;
    end if;
  end loop;
  return triggered_at;
end;
$$;

comment on function rate_limiter_internal.alert_triggers(
  uuid, text, text, double precision, integer, integer, timestamptz, timestamptz
) is
  'When an alert that was not triggered before would have been, had evaluate_alerts() run at each '
  'full minute of a span.';
--! EndIncluded rate_limiter_internal/alerts/alert_triggers.sql
--! Included rate_limiter_admin/alerts/preview_alert.sql
create or replace function rate_limiter_admin.preview_alert(
  app_id uuid,
  metric_name text,
  condition text,
  threshold_value double precision,
  duration_seconds integer,
  cooldown_seconds integer,
  since timestamptz,
  until timestamptz,
  out triggered_at timestamptz[],
  out sampled_at timestamptz[],
  out sample_values double precision[]
)
language plpgsql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  is_counted constant boolean := rate_limiter_internal.is_counted_by_minute(metric_name);
begin
  perform rate_limiter_internal.require_application(app_id, 'metrics', 'read');
  perform rate_limiter_internal.require_span(since, until, interval '24 hours');
  -- Anything null is refused too.
  if (
    condition in ('>', '<', '>=', '<=', '=', '!=')
    and threshold_value > '-infinity' and threshold_value < 'infinity'
    and duration_seconds between 1 and 86400
    and cooldown_seconds >= 0
  ) is not true then
    raise exception using
      errcode = 'QS422',
      message = 'alert cannot be previewed',
      detail = format(
        'condition: %s, threshold: %s, duration: %s s, cooldown: %s s', condition,
        threshold_value, duration_seconds, cooldown_seconds
      ),
      hint = 'A condition is one of >, <, >=, <=, = and !=, a threshold is finite, a duration is '
        'of one second to a day, and a cooldown of zero seconds or more.';
  end if;

  triggered_at := rate_limiter_internal.alert_triggers(
    app_id, metric_name, condition, threshold_value, duration_seconds, cooldown_seconds, since,
    until
  );

  select
    coalesce(array_agg(p.until order by p.until), '{}'),
    coalesce(array_agg(p.value order by p.until), '{}')
  into sampled_at, sample_values
  from (
    select m.until, coalesce(s.highest, 0) as value
    from generate_series(
      date_trunc('minute', since, 'UTC') + interval '1 minute', preview_alert.until,
      interval '1 minute'
    ) as m (until)
    left join lateral (
      select max(e.value) as highest
      from rate_limiter_internal.metrics as e
      where e.app_id = preview_alert.app_id
        and e.metric_name = preview_alert.metric_name
        and e."timestamp" > m.until - interval '1 minute'
        and e."timestamp" <= m.until
    ) as s on true
    where s.highest is not null
      or is_counted and m.until < preview_alert.until - interval '1 minute'
  ) as p;
end;
$$;

comment on function rate_limiter_admin.preview_alert(
  uuid, text, text, double precision, integer, integer, timestamptz, timestamptz
) is
  'When an alert would have triggered in a span of at most a day, judged at each full minute as '
  'the job does that watches alerts, and not triggered before: triggeredAt. sampledAt and '
  'sampleValues are what it was judged by: the highest sample of each minute, zero where a count '
  'of the system has none.';
grant execute on function rate_limiter_admin.preview_alert(
  uuid, text, text, double precision, integer, integer, timestamptz, timestamptz
) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/alerts/preview_alert.sql
--! Included rate_limiter_internal/alerts/queue_deliveries.sql
create or replace function rate_limiter_internal.queue_deliveries(notification_ids uuid[])
returns void
language sql
volatile
parallel unsafe
as $$
  -- Of a named queue the workers run one job at a time. The flag has them leave a slot to others.
  select graphile_worker.add_job(
    'deliver_notification', json_build_object('notification_id', n.notification_id),
    queue_name => 'notifications_of_' || a.tenant_id, max_attempts => 8,
    flags => array['delivery']
  )
  from rate_limiter.alert_notifications as n
  join rate_limiter.applications as a on a.app_id = n.app_id
  where n.notification_id = any (notification_ids)
  order by n.created_at, n.channel_number;
$$;

comment on function rate_limiter_internal.queue_deliveries(uuid[]) is
  'Queues the delivery of notifications: one of each tenant runs at a time, so that a receiver '
  'that does not answer holds up no other tenant.';
--! EndIncluded rate_limiter_internal/alerts/queue_deliveries.sql
--! Included rate_limiter_internal/alerts/add_alert_notifications.sql
drop function if exists rate_limiter_internal.add_alert_notifications(uuid, uuid, text);

create or replace function rate_limiter_internal.add_alert_notifications(
  occurrences rate_limiter.alert_history[],
  event text
)
returns integer
language plpgsql
volatile
parallel unsafe
set timezone = 'UTC'
set extra_float_digits = 1
as $$
declare
  notification_ids uuid[];
begin
  with occurrence as (
    select
      c.alert_id, h.history_id, h.app_id, c.notification_config,
      jsonb_build_object(
        'alert', jsonb_build_object(
          'id', c.alert_id,
          'metric', c.metric_name,
          'condition', c.condition,
          'threshold', h.threshold_value,
          'duration_seconds', c.duration_seconds,
          'severity', c.severity
        ),
        'application', jsonb_build_object('id', a.app_id, 'name', a.name),
        'occurrence', h.history_id,
        'value', h.actual_value,
        'description', h.description,
        'triggered_at', h.triggered_at,
        'acknowledged_at', h.acknowledged_at,
        'resolved_at', h.resolved_at
      ) as content
    from unnest(occurrences) as h
    join rate_limiter.alert_configs as c on c.alert_id = h.alert_id
    join rate_limiter.applications as a on a.app_id = h.app_id
  ),
  added as (
    insert into rate_limiter.alert_notifications as n
      (app_id, alert_id, history_id, event, channel_number, channel, content)
    select
      o.app_id, o.alert_id, o.history_id, add_alert_notifications.event,
      c.channel_number, c.channel ->> 'channel', o.content
    from occurrence as o
    cross join lateral rate_limiter_internal.notification_channels(o.notification_config) as c
    where not c.channel ? 'events'
      or c.channel -> 'events' ? add_alert_notifications.event
    on conflict on constraint alert_notices_history_key do nothing
    returning n.notification_id
  )
  select array_agg(a.notification_id) into notification_ids from added as a;

  perform rate_limiter_internal.queue_deliveries(notification_ids);
  return coalesce(cardinality(notification_ids), 0);
end;
$$;

comment on function rate_limiter_internal.add_alert_notifications(
  rate_limiter.alert_history[], text
) is
  'Has every channel of their alerts told that these occurrences were triggered, acknowledged or '
  'resolved, once; answers how many.';
--! EndIncluded rate_limiter_internal/alerts/add_alert_notifications.sql
--! Included rate_limiter_internal/alerts/change_alerts.sql
drop function if exists rate_limiter_internal.change_alerts(timestamptz, uuid);

create or replace function rate_limiter_internal.change_alerts(
  at timestamptz,
  evaluated_until timestamptz,
  complete_until timestamptz,
  only_app_id uuid default null
)
returns integer
language plpgsql
volatile
parallel unsafe
-- One plan for every application is a bad one for a single application.
set plan_cache_mode = 'force_custom_plan'
set extra_float_digits = 1
as $$
declare
  has_defaults constant boolean := rate_limiter_internal.setting_boolean('default_alerts');
  resolved rate_limiter.alert_history[];
  triggered rate_limiter.alert_history[];
begin
  with judged as materialized (
    select j.*
    from rate_limiter_internal.alert_evaluations(
      at, evaluated_until, complete_until, only_app_id
    ) as j
  ),
  ended as (
    update rate_limiter.alert_history as h
    set
      status = 'resolved',
      resolved_at = greatest(at, h.triggered_at, h.acknowledged_at),
      actual_value = coalesce(j.latest_value, h.actual_value)
    from rate_limiter.alert_configs as c
    cross join rate_limiter.applications as a
    join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
    left join judged as j on j.alert_id = c.alert_id and j.app_id = a.app_id
    where c.alert_id = h.alert_id
      and a.app_id = h.app_id
      and h.status <> 'resolved'
      -- Samples that stay away resolve nothing: silence is not good news. An alert that nothing
      -- watches any more ends.
      and (
        j.resolves
        or not c.is_active
        or not a.is_active
        or (c.app_id is null and not (has_defaults and t.has_default_alerts))
      )
      and (only_app_id is null or h.app_id = only_app_id)
    returning h
  ),
  begun as (
    insert into rate_limiter.alert_history as h
      (alert_id, app_id, actual_value, threshold_value, triggered_at, description)
    select
      c.alert_id, j.app_id, j.latest_value, c.threshold_value, at,
      format(
        '%s %s %s for %s seconds', c.metric_name, c.condition, c.threshold_value,
        c.duration_seconds
      )
    from judged as j
    join rate_limiter.alert_configs as c on c.alert_id = j.alert_id
    where j.triggers
      and not exists (
        select
        from rate_limiter.alert_history as o
        where o.alert_id = c.alert_id
          and o.app_id = j.app_id
          and (
            o.status <> 'resolved'
            or o.triggered_at > at - make_interval(secs => c.cooldown_seconds)
          )
      )
    returning h
  )
  select array(select e.h from ended as e), array(select b.h from begun as b)
  into resolved, triggered;

  perform rate_limiter_internal.add_alert_notifications(resolved, 'resolved');
  perform rate_limiter_internal.add_alert_notifications(triggered, 'triggered');

  return cardinality(resolved) + cardinality(triggered);
end;
$$;

comment on function rate_limiter_internal.change_alerts(
  timestamptz, timestamptz, timestamptz, uuid
) is
  'Triggers and resolves the alerts of every application, or of one, as their samples say; '
  'answers how many changed.';
--! EndIncluded rate_limiter_internal/alerts/change_alerts.sql
--! Included rate_limiter_private/alerts/evaluate_alerts.sql
create or replace function rate_limiter_private.evaluate_alerts(
  at timestamptz default clock_timestamp()
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  minutes record;
  application record;
  changed integer := 0;
begin
  -- Of two at once, both would trigger: one is enough.
  if not rate_limiter_internal.try_lock_job('evaluate_alerts') then
    return null;
  end if;

  minutes := rate_limiter_internal.complete_minutes(at);
  if minutes.complete_until is not null then
    insert into rate_limiter_private.job_progress (job, done_until)
    values ('evaluate_alerts', minutes.complete_until)
    on conflict (job) do update set done_until = excluded.done_until;
  end if;

  begin
    return rate_limiter_internal.change_alerts(
      at, minutes.evaluated_until, minutes.complete_until
    );
  exception
    when data_exception or integrity_constraint_violation or program_limit_exceeded
      or raise_exception
    then
      -- An application at a time: what is wrong with one keeps no other from its alerts.
      null;
  end;

  for application in
    select c.app_id
    from rate_limiter.alert_configs as c
    where c.app_id is not null
    union
    select d.app_id
    from rate_limiter_internal.stirred_default_alerts(at, minutes.complete_until) as d
    union
    select h.app_id
    from rate_limiter.alert_history as h
    where h.status <> 'resolved'
  loop
    begin
      changed := changed + rate_limiter_internal.change_alerts(
        at, minutes.evaluated_until, minutes.complete_until, application.app_id
      );
    exception
      when data_exception or integrity_constraint_violation or program_limit_exceeded
        or raise_exception
      then
        perform rate_limiter_private.record_job_failure(
          'evaluate_alerts', application.app_id::text, sqlstate, sqlerrm
        );
    end;
  end loop;
  return changed;
end;
$$;

comment on function rate_limiter_private.evaluate_alerts(timestamptz) is
  'Job: triggers each alert whose condition every sample of its window meets, unless it is '
  'triggered already or was within its cooldown; resolves what the latest sample no longer '
  'meets. Of the system''s counts each minute is judged a minute after its end, and with the next '
  'one once more; two that do not meet the condition resolve. Each change is told once through '
  'each channel. Answers how many alerts changed, and null while another session does. An '
  'application whose alerts cannot be evaluated is left out and counted in job_failures.';
grant execute on function rate_limiter_private.evaluate_alerts(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/alerts/evaluate_alerts.sql
--! Included rate_limiter_private/alerts/deliver_notification.sql
create or replace function rate_limiter_private.deliver_notification(
  notification_id uuid,
  out event text,
  out channel jsonb,
  out content jsonb
)
returns setof record
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  update rate_limiter.alert_notifications as n
  set attempts = n.attempts + 1
  from rate_limiter.alert_configs as c
  where n.notification_id = deliver_notification.notification_id
    and n.status = 'pending'
    and c.alert_id = n.alert_id
  returning
    n.event,
    -- Null where the channel was taken out of the alert since, or became one of another kind.
    (
      select ch.channel
      from rate_limiter_internal.notification_channels(c.notification_config) as ch
      where ch.channel_number = n.channel_number and ch.channel ->> 'channel' = n.channel
    ),
    n.content;
$$;

comment on function rate_limiter_private.deliver_notification(uuid) is
  'Job: begins an attempt to send a notification. Returns its content and channel, or no '
  'row where it was sent or given up already.';
grant execute on function rate_limiter_private.deliver_notification(uuid)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/alerts/deliver_notification.sql
--! Included rate_limiter_private/alerts/record_delivery.sql
create or replace function rate_limiter_private.record_delivery(
  notification_id uuid,
  status text,
  error text default null
)
returns void
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
  with settled as (
    update rate_limiter.alert_notifications as n
    set
      status = record_delivery.status,
      last_error = left(record_delivery.error, 1000),
      sent_at = case record_delivery.status when 'sent' then clock_timestamp() end
    where n.notification_id = record_delivery.notification_id and n.status = 'pending'
    returning n.*
  )
  update rate_limiter.alert_history as h
  set notification_sent = coalesce(h.notification_sent, '[]') || jsonb_build_array(
    jsonb_strip_nulls(jsonb_build_object(
      'event', s.event,
      'channel', s.channel,
      'status', s.status,
      'error', s.last_error,
      'at', clock_timestamp()
    ))
  )
  from settled as s
  where s.status <> 'pending'
    and h.alert_id = s.alert_id
    and h.history_id = s.history_id;
$$;

comment on function rate_limiter_private.record_delivery(uuid, text, text) is
  'How an attempt to send a notification went: sent, dead (given up), or pending with the error of '
  'an attempt that will be followed by another. What is settled for good is noted with the alert.';
grant execute on function rate_limiter_private.record_delivery(uuid, text, text)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/alerts/record_delivery.sql
--! Included rate_limiter_private/alerts/replay_notifications.sql
create or replace function rate_limiter_private.replay_notifications(
  notification_ids uuid[] default null
)
returns integer
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  replayed uuid[];
begin
  with revived as (
    update rate_limiter.alert_notifications as n
    set status = 'pending'
    where n.status = 'dead'
      and (replay_notifications.notification_ids is null
        or n.notification_id = any (replay_notifications.notification_ids))
    returning n.notification_id
  )
  select array_agg(r.notification_id) into replayed from revived as r;

  perform rate_limiter_internal.queue_deliveries(replayed);
  return coalesce(cardinality(replayed), 0);
end;
$$;

comment on function rate_limiter_private.replay_notifications(uuid[]) is
  'Sends dead letters again: the ones named, or all of them; answers how many.';
grant execute on function rate_limiter_private.replay_notifications(uuid[])
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/alerts/replay_notifications.sql
--! Included rate_limiter_private/alerts/dead_letter_stale_notifications.sql
create or replace function rate_limiter_private.dead_letter_stale_notifications(
  at timestamptz default clock_timestamp()
)
returns integer
language sql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
  with buried as (
    update rate_limiter.alert_notifications as n
    set status = 'dead', last_error = coalesce(n.last_error, 'its job was lost')
    where n.status = 'pending'
      and n.created_at < at - interval '10 minutes'
      and not exists (
        select
        from graphile_worker._private_jobs as j
        where j.payload ->> 'notification_id' = n.notification_id::text
          and (j.attempts < j.max_attempts or j.locked_at is not null)
      )
    returning 1
  )
  select count(*)::integer from buried;
$$;

comment on function rate_limiter_private.dead_letter_stale_notifications(timestamptz) is
  'Job: gives up notifications that no job will send any more, because their worker was killed at '
  'the last attempt or the job was deleted. Dead letters are listed and can be replayed.';
grant execute on function rate_limiter_private.dead_letter_stale_notifications(timestamptz)
  to rate_limiter_worker;
--! EndIncluded rate_limiter_private/alerts/dead_letter_stale_notifications.sql
--! Included rate_limiter_private/alerts/dead_notifications.sql
create or replace function rate_limiter_private.dead_notifications()
returns setof rate_limiter.alert_notifications
language sql
stable
parallel safe
security definer
set search_path = pg_catalog, pg_temp
as $$
  select n.*
  from rate_limiter.alert_notifications as n
  where n.status = 'dead'
  order by n.created_at;
$$;

comment on function rate_limiter_private.dead_notifications() is
  'The notifications that could not be sent, the oldest first.';
grant execute on function rate_limiter_private.dead_notifications() to rate_limiter_worker;
--! EndIncluded rate_limiter_private/alerts/dead_notifications.sql
--! Included rate_limiter_admin/alerts/replay_notification.sql
create or replace function rate_limiter_admin.replay_notification(notification_id uuid)
returns rate_limiter.alert_notifications
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  notification rate_limiter.alert_notifications;
begin
  perform rate_limiter_internal.require_read_committed();
  -- As with acknowledge_alert().
  if not rate_limiter_internal.may('application', 'update') then
    perform rate_limiter_internal.require_permission('system', 'monitor');
  end if;
  perform rate_limiter_internal.require_tenant_not_suspended();

  select n.*
  into notification
  from rate_limiter.alert_notifications as n
  join rate_limiter.applications as a on a.app_id = n.app_id
  join rate_limiter.alert_configs as c on c.alert_id = n.alert_id
  where n.notification_id = replay_notification.notification_id
    and n.status = 'dead'
    and (
      rate_limiter_internal.is_system_admin()
      or (
        a.tenant_id = rate_limiter_internal.current_tenant_id()
        and c.app_id is not null
      )
    )
  for update of n;

  if not found then
    raise exception using
      errcode = 'QS404',
      message = 'unknown notification',
      detail = format('notification: %s', replay_notification.notification_id),
      hint = 'Only notifications of your tenant that could not be sent are sent again.';
  end if;

  perform rate_limiter_private.replay_notifications(array[notification.notification_id]);
  notification.status := 'pending';
  perform rate_limiter_internal.write_audit(
    'replay', 'alert_notifications', notification.notification_id,
    rate_limiter_internal.tenant_of(jsonb_build_object('app_id', notification.app_id)),
    notification.app_id
  );
  return notification;
end;
$$;

comment on function rate_limiter_admin.replay_notification(uuid) is
  E'@resultFieldName notification\n'
  'Sends a notification of an alert again that could not be sent.';
grant execute on function rate_limiter_admin.replay_notification(uuid) to rate_limiter_visitor;
--! EndIncluded rate_limiter_admin/alerts/replay_notification.sql
--! Included rate_limiter/alerts/alert_configs.triggers.sql
create or replace trigger set_updated_at
  before update on rate_limiter.alert_configs
  for each row
  when (old.* is distinct from new.*)
  execute function rate_limiter_internal.set_updated_at();

create or replace trigger check_notification
  before insert or update of notification_config on rate_limiter.alert_configs
  for each row
  execute function rate_limiter_internal.check_notification();

-- After the form is known to be good. What the owner of the database writes is not looked at.
create or replace trigger check_notification_destinations
  before insert or update of notification_config on rate_limiter.alert_configs
  for each row
  when (rate_limiter_internal.current_user_id() is not null)
  execute function rate_limiter_internal.check_destinations();

create or replace trigger require_few_alerts
  before insert on rate_limiter.alert_configs
  for each row
  when (rate_limiter_internal.current_user_id() is not null)
  execute function rate_limiter_internal.require_few_alerts();

create or replace trigger round_duration
  before insert or update of metric_name, duration_seconds on rate_limiter.alert_configs
  for each row
  execute function rate_limiter_internal.round_alert_duration();

create or replace trigger refuse_delete_of_alert
  before delete on rate_limiter.alert_configs
  for each row
  execute function rate_limiter_internal.refuse_delete_of_alert();

create or replace trigger audit_change
  after insert or update or delete on rate_limiter.alert_configs
  for each row
  execute function rate_limiter_internal.audit_change('alert_id', 'notification_config');
--! EndIncluded rate_limiter/alerts/alert_configs.triggers.sql
--! Included rate_limiter/alerts/alert_history.triggers.sql
create or replace trigger notify_alert
  after insert or update on rate_limiter.alert_history
  for each row
  execute function rate_limiter_internal.notify_alert();
--! EndIncluded rate_limiter/alerts/alert_history.triggers.sql
--! Included rate_limiter/alerts/alert_configs.policies.sql
-- Who runs the operations and who administers the applications decide what to watch for; of what
-- holds for every application system administrators do.
alter table rate_limiter.alert_configs enable row level security;

drop policy if exists readable on rate_limiter.alert_configs;
create policy readable on rate_limiter.alert_configs
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id is null
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists insertable on rate_limiter.alert_configs;
create policy insertable on rate_limiter.alert_configs
  for insert to rate_limiter_visitor
  with check (
    (
      (select rate_limiter_internal.may_change('system', 'monitor'))
      or (select rate_limiter_internal.may_change('application', 'update'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists updatable on rate_limiter.alert_configs;
create policy updatable on rate_limiter.alert_configs
  for update to rate_limiter_visitor
  using (
    (
      (select rate_limiter_internal.may_change('system', 'monitor'))
      or (select rate_limiter_internal.may_change('application', 'update'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  )
  with check (
    (
      (select rate_limiter_internal.may_change('system', 'monitor'))
      or (select rate_limiter_internal.may_change('application', 'update'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists deletable on rate_limiter.alert_configs;
create policy deletable on rate_limiter.alert_configs
  for delete to rate_limiter_visitor
  using (
    (
      (select rate_limiter_internal.may_change('system', 'monitor'))
      or (select rate_limiter_internal.may_change('application', 'update'))
    )
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.alert_configs;
create policy monitored on rate_limiter.alert_configs
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/alerts/alert_configs.policies.sql
--! Included rate_limiter/alerts/alert_history.policies.sql
-- Written by functions alone.
alter table rate_limiter.alert_history enable row level security;

drop policy if exists readable on rate_limiter.alert_history;
create policy readable on rate_limiter.alert_history
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
    )
  );

drop policy if exists monitored on rate_limiter.alert_history;
create policy monitored on rate_limiter.alert_history
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/alerts/alert_history.policies.sql
--! Included rate_limiter/alerts/alert_notifications.policies.sql
-- Written by functions alone. Where notifications of default alerts go is the operator's affair.
alter table rate_limiter.alert_notifications enable row level security;

drop policy if exists readable on rate_limiter.alert_notifications;
create policy readable on rate_limiter.alert_notifications
  for select to rate_limiter_visitor
  using (
    (select rate_limiter_internal.may('metrics', 'read'))
    and (
      (select rate_limiter_internal.is_system_admin())
      or app_id in (
        select a.app_id
        from rate_limiter.applications as a
        where a.tenant_id = (select rate_limiter_internal.current_tenant_id())
      )
      and alert_id <> all (
        array(
          select c.alert_id
          from rate_limiter.alert_configs as c
          where c.app_id is null
        )
      )
    )
  );

drop policy if exists monitored on rate_limiter.alert_notifications;
create policy monitored on rate_limiter.alert_notifications
  for select to rate_limiter_readonly
  using (true);
--! EndIncluded rate_limiter/alerts/alert_notifications.policies.sql
--! Included rate_limiter/alerts/alert_configs.grants.sql
revoke all on rate_limiter.alert_configs
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.alert_configs to rate_limiter_visitor;
grant select (alert_id, app_id, metric_name, condition, threshold_value, duration_seconds,
  severity, is_active, cooldown_seconds, created_at, updated_at)
  on rate_limiter.alert_configs to rate_limiter_readonly;
grant insert (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
  notification_config, cooldown_seconds)
  on rate_limiter.alert_configs to rate_limiter_visitor;
grant update (metric_name, condition, threshold_value, duration_seconds, severity, is_active,
  notification_config, cooldown_seconds)
  on rate_limiter.alert_configs to rate_limiter_visitor;
grant delete on rate_limiter.alert_configs to rate_limiter_visitor;
--! EndIncluded rate_limiter/alerts/alert_configs.grants.sql
--! Included rate_limiter/alerts/alert_history.grants.sql
revoke all on rate_limiter.alert_history
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.alert_history to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/alerts/alert_history.grants.sql
--! Included rate_limiter/alerts/alert_notifications.grants.sql
revoke all on rate_limiter.alert_notifications
  from rate_limiter_app, rate_limiter_worker, rate_limiter_visitor, rate_limiter_readonly;
grant select on rate_limiter.alert_notifications to rate_limiter_visitor, rate_limiter_readonly;
--! EndIncluded rate_limiter/alerts/alert_notifications.grants.sql
