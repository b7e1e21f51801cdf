import type { PoolClient } from "pg";
import type { Manifest } from "../archive/manifest.ts";

export async function dropExportedPartition(client: PoolClient, manifest: Manifest): Promise<void> {
  await client.query("select rate_limiter_private.drop_exported_partition($1, $2, $3, $4)", [
    manifest.partition,
    manifest.rows,
    manifest.min_time,
    manifest.max_time,
  ]);
}
