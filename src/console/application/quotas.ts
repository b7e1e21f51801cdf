import type { QuotasQuery } from "./application.operations.ts";

export type Quota = NonNullable<NonNullable<QuotasQuery["application"]>["quotas"]["nodes"][number]>;
export type Version = NonNullable<NonNullable<QuotasQuery["quotaVersions"]>["nodes"][number]>;

export type State = "past" | "in force" | "scheduled";

export function stateOf({ validFrom, validTo }: Pick<Quota, "validFrom" | "validTo">): State {
  const now = Date.now();
  if (Date.parse(validFrom) > now) return "scheduled";
  return validTo !== null && Date.parse(validTo) <= now ? "past" : "in force";
}
