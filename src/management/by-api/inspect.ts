import type { Span, Usage, Verdict } from "../management.ts";
import type { ApiClient } from "./api-client.ts";
import { applicationId } from "./find.ts";
import { everyRow, pageSize } from "./pages.ts";

const why = `query ($appId: UUID!, $operation: String!, $bytes: BigInt!) {
  whyThrottled(appId: $appId, operation: $operation, sizeBytes: $bytes, first: 100) {
    layer bucketType mode verdict charge tokens capacity refillRate debt passesAt
  }
}`;
const usage = `query (
  $appId: UUID!, $since: Datetime!, $until: Datetime!, $by: TimeResolution!,
  $first: Int!, $offset: Int!
) {
  usageOverTime(
    appId: $appId, since: $since, until: $until, resolution: $by, first: $first, offset: $offset
  ) {
    startsAt tokensConsumed bytesConsumed ledgerEntries deniedOperations deniedTokens deniedBytes
  }
}`;

type Texts<Name extends string> = Readonly<Record<Name, string>>;

type WhyRow = Texts<"bucketType" | "mode" | "verdict" | "charge" | "tokens" | "capacity"> &
  Texts<"refillRate" | "debt" | "passesAt"> & { readonly layer: number };

type UsageRow = Texts<"startsAt" | "tokensConsumed" | "bytesConsumed" | "ledgerEntries"> &
  Texts<"deniedOperations" | "deniedTokens" | "deniedBytes">;

export async function whyThrottled(
  client: ApiClient,
  path: readonly string[],
  operation: string,
  bytes: string,
): Promise<readonly Verdict[]> {
  const variables = { appId: await applicationId(client, path), operation, bytes };
  const { whyThrottled: rows } = await client.ask<{ whyThrottled: WhyRow[] }>(why, variables);
  return rows.map(({ bucketType, mode, verdict, refillRate, passesAt, ...others }) => ({
    ...others,
    verdict: verdict.toLowerCase(),
    bucket: bucketType.toLowerCase(),
    mode: mode.toLowerCase(),
    refill_per_second: refillRate,
    passes_at: passesAt,
  }));
}

export async function usageOverTime(
  client: ApiClient,
  path: readonly string[],
  { seconds, by }: Span,
): Promise<readonly Usage[]> {
  const until = new Date();
  const span = {
    appId: await applicationId(client, path),
    since: new Date(until.getTime() - Number(seconds) * 1000).toISOString(),
    until: until.toISOString(),
    by: by.toUpperCase(),
  };
  const rows = await everyRow(async (offset) => {
    const variables = { ...span, first: pageSize, offset };
    return (await client.ask<{ usageOverTime: UsageRow[] }>(usage, variables)).usageOverTime;
  });
  return rows.map((row) => ({
    starts_at: row.startsAt,
    tokens: row.tokensConsumed,
    bytes: row.bytesConsumed,
    ledger_entries: row.ledgerEntries,
    denied_operations: row.deniedOperations,
    denied_tokens: row.deniedTokens,
    denied_bytes: row.deniedBytes,
  }));
}
