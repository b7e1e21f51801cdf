import { ApiError } from "../api-error.ts";

/** Exports of one process at once; each reads its pages by a connection that is free. */
export const exportConnections = 8;

/** So that the readers of one tenant, who may be slow, leave places to the others. */
const slotsOfTenant = 2;

export interface ExportSlots {
  readonly taken: number;
  /** Takes a slot for an export of the tenant; answers how to give it back. */
  take(tenantId: string): () => void;
}

export function exportSlots(): ExportSlots {
  const taken = new Map<string, number>();
  let takenInAll = 0;
  return {
    get taken() {
      return takenInAll;
    },
    take(tenantId) {
      const before = taken.get(tenantId) ?? 0;
      if (before >= slotsOfTenant) {
        throw tooMany(`Of one tenant ${slotsOfTenant} run at once: read them to their end first.`);
      }
      // Rather than have it wait for a reader of another tenant.
      if (takenInAll >= exportConnections) throw tooMany("Try again when another one has ended.");
      takenInAll += 1;
      taken.set(tenantId, before + 1);
      return () => {
        takenInAll -= 1;
        const left = (taken.get(tenantId) ?? 1) - 1;
        if (left === 0) taken.delete(tenantId);
        else taken.set(tenantId, left);
      };
    },
  };
}

function tooMany(hint: string): ApiError {
  return new ApiError("QS429", "too many exports", hint, { retryAfterMs: 1_000 });
}
