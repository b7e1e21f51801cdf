--! Previous: sha1:ccdeb368f0f0a4b6168c06d9a9470e1be2b526c3
--! Hash: sha1:744789ae9eb00f222c6461b4c04f3cd1bda04f35
--! Message: What an application drew ahead stays with the cluster it leaves

-- The migration being written.
--! Included rate_limiter_internal/functions/complete_application.sql
create or replace function rate_limiter_internal.complete_application()
returns trigger
language plpgsql
volatile
parallel unsafe
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A tenant that is not there is the foreign key's to refuse.
  new.tenant_is_active := coalesce((
    select t.is_active from rate_limiter.tenants as t where t.tenant_id = new.tenant_id for share
  ), true);
  -- Waits for a quota of the cluster that is being made, and makes a later one wait (add_bucket).
  perform from rate_limiter.clusters as c where c.cluster_id = new.cluster_id for share;
  new.has_shadow := new.has_shadow or exists (
    select
    from rate_limiter.token_buckets as b
    where b.owner_id = new.cluster_id and b.mode = 'shadow'
  );
  new.draws_iops := exists (
    select
    from rate_limiter.token_buckets as b
    where b.owner_id = new.cluster_id and b.bucket_type = 'iops_l1' and b.mode = 'enforce'
  );
  new.draws_bandwidth := exists (
    select
    from rate_limiter.token_buckets as b
    where b.owner_id = new.cluster_id and b.bucket_type = 'bandwidth_l1' and b.mode = 'enforce'
  );
  if tg_op = 'UPDATE' and new.cluster_id is distinct from old.cluster_id then
    -- What it drew ahead was taken from the cluster it leaves.
    update rate_limiter.token_buckets as b
    set allotment = 0
    where b.owner_id = new.app_id and b.allotment > 0;
  end if;
  return new;
end;
$$;

comment on function rate_limiter_internal.complete_application() is
  'Trigger: copies to an application what decisions would have to look up elsewhere: whether '
  'its tenant is active, and of which kinds its cluster has quotas. Where it moves, what it drew '
  'ahead from the cluster it leaves is void.';
--! EndIncluded rate_limiter_internal/functions/complete_application.sql
