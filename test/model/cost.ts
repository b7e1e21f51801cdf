import { ceilMicro, ratio } from "./amounts.ts";
import { Refusal } from "./refusal.ts";
import { DEFAULT_OPERATION_TYPES, type World } from "./world.ts";

/** Section 2. */
export function costOf(
  world: World,
  app: string,
  operation: string,
  size: bigint,
  at: bigint,
): bigint {
  const type = [...(world.operation_types ?? []), ...DEFAULT_OPERATION_TYPES].find(
    ({ name }) => name === operation,
  );
  if (type === undefined) throw new Refusal("unknown_operation");
  if (size < 0n) throw new Refusal("negative_size");
  const rule = world.cost_rules?.find(
    (candidate) =>
      candidate.app === app &&
      candidate.operation === operation &&
      BigInt(candidate.valid_from_us) <= at &&
      (candidate.valid_to_us === null || at < BigInt(candidate.valid_to_us)),
  );
  const base = ratio(rule?.c_base_override ?? type.c_base);
  const perUnit = ratio(rule?.c_bw_override ?? type.c_bw);
  const quantum = BigInt(type.unit_quantum);
  return ceilMicro({
    numerator:
      base.numerator * perUnit.denominator * quantum + size * perUnit.numerator * base.denominator,
    denominator: base.denominator * perUnit.denominator * quantum,
  });
}
