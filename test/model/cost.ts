import { ceilMicro, ratio } from "./amounts.ts";
import { ModelError } from "./model-error.ts";
import { DEFAULT_OPERATION_TYPES, epochOf, type World } from "./world.ts";

/** Section 2, in millionths of a token; `at` is in microseconds since 1970. */
export function costOf(
  world: World,
  app: string,
  operation: string,
  size: bigint | null,
  at: bigint,
): bigint {
  const type = [...(world.operation_types ?? []), ...DEFAULT_OPERATION_TYPES].find(
    ({ name }) => name === operation,
  );
  if (type === undefined) throw new ModelError("unknown_operation");
  const bytes = size ?? 0n;
  if (bytes < 0n) throw new ModelError("negative_size");
  const offset = at - epochOf(world);
  const rule = world.cost_rules?.find(
    (candidate) =>
      candidate.app === app &&
      candidate.operation === operation &&
      BigInt(candidate.valid_from_us) <= offset &&
      (candidate.valid_to_us === null || offset < BigInt(candidate.valid_to_us)),
  );
  const base = ratio(rule?.c_base_override ?? type.c_base);
  const perUnit = ratio(rule?.c_bw_override ?? type.c_bw);
  const quantum = BigInt(type.unit_quantum);
  return ceilMicro({
    numerator:
      base.numerator * perUnit.denominator * quantum + bytes * perUnit.numerator * base.denominator,
    denominator: base.denominator * perUnit.denominator * quantum,
  });
}
