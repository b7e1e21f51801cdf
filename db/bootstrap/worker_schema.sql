-- The job queue's schema belongs to rate_limiter_worker: the job host needs all of it, and neither
-- the application's owner nor a visitor should be needed to run it. Run as rate_limiter_owner.
create schema if not exists graphile_worker authorization rate_limiter_worker;

set role rate_limiter_worker;

alter default privileges revoke execute on functions from public;

-- Made here, as the library would, because the library starts with `create schema if not exists`,
-- for which the worker would need the right to create schemas in this database.
create table if not exists graphile_worker.migrations (
  id integer primary key,
  ts timestamptz not null default now(),
  breaking boolean not null default false
);
