import { operationOf } from "../../replay/operation-map.ts";
import { Trace } from "../../replay/trace.ts";

const meanGapUs = 1000;
const kinds = ["read", "read", "read", "write", "head", "delete"] as const;
const sizes = [512n, 4096n, 65_536n, 1_048_576n] as const;

/** The same operations at every run: about a thousand a second, of all kinds and sizes. */
export function generatedTrace(operations: number): Trace {
  const trace = new Trace();
  const draw = draws();
  let at = 0n;
  for (let i = 0; i < operations; i++) {
    at += BigInt(draw(2 * meanGapUs));
    const kind = kinds[draw(kinds.length)] as (typeof kinds)[number];
    const moves = kind === "read" || kind === "write";
    const size = moves ? (sizes[draw(sizes.length)] as bigint) : 0n;
    const operation = operationOf({ operation: kind, ...(moves && { hasClass: true }) }, size);
    trace.add(at, operation, size, "benchmark");
  }
  return trace;
}

/** Numbers below a bound from a linear congruential generator, by its upper bits. */
function draws(): (bound: number) => number {
  let state = 1;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}
