import type { TransactionSql } from "../postgres/connect.ts";

/** An application at a moment. Counts only grow, so that two samples make a rate. */
export interface Sampled {
  readonly tenant: string;
  readonly application: string;
  readonly cluster: string | null;
  /** How full its buckets are, from 0 to 1, below 0 in debt; null where nothing limits it. */
  readonly iopsFill: number | null;
  readonly bandwidthFill: number | null;
  /** How full the cluster's buckets are. */
  readonly layer1Fill: number | null;
  readonly debt: string;
  /** Rows of its ledger: a decision is one, and so is a lease. */
  readonly admitted: number;
  /** Operations denied since the first sample's minute. */
  readonly denied: number;
}

export interface Sample {
  readonly atMs: number;
  readonly rows: readonly Sampled[];
}

/** The applications whose buckets changed last, as they stand now. */
export async function takeSample(
  sql: TransactionSql,
  most: number,
  sinceMs: number,
): Promise<Sample> {
  const rows = await sql<(Sampled & { at_ms: number })[]>`
    with buckets as (
      select b.owner_id, b.bucket_type, b.ledger_seq, b.updated_at, n.current_tokens, n.capacity
      from rate_limiter.token_buckets as b
      cross join lateral rate_limiter_internal.bucket_now(b) as n
      where b.mode = 'enforce'
    ),
    seen as (
      select
        b.owner_id,
        max(b.updated_at) as changed_at,
        max(b.ledger_seq) as ledger_seq,
        min(b.current_tokens / nullif(b.capacity, 0)) filter (where b.bucket_type = 'iops_l2')
          as iops_fill,
        min(b.current_tokens / nullif(b.capacity, 0)) filter (where b.bucket_type = 'bandwidth_l2')
          as bandwidth_fill,
        sum(greatest(-b.current_tokens, 0)) as debt
      from buckets as b
      where b.bucket_type in ('iops_l2', 'bandwidth_l2')
      group by b.owner_id
      order by 2 desc
      limit ${most}
    ),
    layer1 as (
      select b.owner_id, min(b.current_tokens / nullif(b.capacity, 0)) as fill
      from buckets as b
      where b.bucket_type in ('iops_l1', 'bandwidth_l1')
      group by b.owner_id
    )
    select
      t.name as tenant,
      a.name as application,
      c.name as cluster,
      s.iops_fill::double precision as "iopsFill",
      s.bandwidth_fill::double precision as "bandwidthFill",
      l.fill::double precision as "layer1Fill",
      trim_scale(s.debt)::text as debt,
      s.ledger_seq::double precision as admitted,
      (
        select coalesce(sum(d.operations), 0)::double precision
        from rate_limiter.v_denial_counts as d
        where d.shard_key = a.shard_key
          and d.app_id = a.app_id
          and d.minute >= date_trunc('minute', to_timestamp(${sinceMs}::double precision / 1000))
      ) as denied,
      extract(epoch from statement_timestamp())::double precision * 1000 as at_ms
    from seen as s
    join rate_limiter.applications as a on a.app_id = s.owner_id
    join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
    left join rate_limiter.clusters as c on c.cluster_id = a.cluster_id
    left join layer1 as l on l.owner_id = a.cluster_id
    order by t.name, a.name
  `;
  return { atMs: rows[0]?.at_ms ?? Date.now(), rows };
}
