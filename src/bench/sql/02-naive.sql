-- The tables of the source design that its client-side statements work on, with its indexes. Its
-- refill trigger is left out: as written it does not run, and without it this peer is faster.

create schema naive;

create table naive.applications (
  app_id uuid primary key default gen_random_uuid(),
  cluster_app_id uuid,
  api_key_hash varchar(255) not null unique
);

create table naive.operation_types (
  operation_id uuid primary key default gen_random_uuid(),
  name varchar(255) not null unique,
  c_base decimal(10, 4) not null,
  unit_quantum bigint not null,
  c_bw decimal(10, 4) not null
);

create table naive.cost_rules (
  rule_id uuid primary key default gen_random_uuid(),
  operation_id uuid not null references naive.operation_types (operation_id),
  app_id uuid not null references naive.applications (app_id),
  c_base_override decimal(10, 4),
  c_bw_override decimal(10, 4),
  valid_from timestamptz not null default current_timestamp,
  valid_to timestamptz,
  is_active boolean default true
);
create index on naive.cost_rules (app_id, operation_id);

create table naive.token_buckets (
  bucket_id uuid primary key default gen_random_uuid(),
  app_id uuid not null references naive.applications (app_id),
  bucket_type varchar(50) not null,
  capacity bigint not null,
  current_tokens bigint not null,
  refill_rate bigint not null,
  last_refill_at timestamptz not null,
  updated_at timestamptz default current_timestamp,
  unique (app_id, bucket_type),
  check (current_tokens >= 0 and current_tokens <= capacity)
);
create index on naive.token_buckets (app_id);
create index on naive.token_buckets (bucket_type);
create index on naive.token_buckets (last_refill_at);
create index on naive.token_buckets (app_id, bucket_type)
  where current_tokens < (capacity * 0.2);

create table naive.token_transactions (
  transaction_id uuid primary key default gen_random_uuid(),
  bucket_id uuid not null references naive.token_buckets (bucket_id),
  tokens_change bigint not null,
  transaction_type varchar(50) not null,
  balance_after bigint not null,
  reference_id varchar(255),
  metadata jsonb default '{}',
  created_at timestamptz default current_timestamp
);
create index on naive.token_transactions (bucket_id);
create index on naive.token_transactions (transaction_type);
create index on naive.token_transactions (created_at desc);
create index on naive.token_transactions (reference_id);

create function naive.make_world(applications integer) returns void
language sql
as $$
  insert into naive.operation_types (name, c_base, unit_quantum, c_bw)
  values ('read_small', 1, 4096, 0.0001);

  -- Number 0 holds the buckets of layer 1, which in that design belong to an application too.
  insert into naive.applications (app_id, api_key_hash, cluster_app_id)
  select
    md5('naive ' || n)::uuid, encode(sha256(convert_to('naive-' || n, 'UTF8')), 'hex'),
    md5('naive 0')::uuid
  from generate_series(0, applications) as n;

  insert into naive.cost_rules (operation_id, app_id, c_base_override)
  select o.operation_id, a.app_id, 1.5
  from naive.applications as a
  cross join naive.operation_types as o;

  insert into naive.token_buckets
    (app_id, bucket_type, capacity, current_tokens, refill_rate, last_refill_at)
  select a.app_id, t.bucket_type, 4e15, 4e15, 1000000, now()
  from naive.applications as a
  join (
    values ('iops_l2', false), ('bandwidth_l2', false), ('iops_l1', true), ('bandwidth_l1', true)
  ) as t (bucket_type, is_layer1) on t.is_layer1 = (a.app_id = a.cluster_app_id);
$$;
