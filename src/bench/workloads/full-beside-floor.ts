import type { Bench, Sample } from "../types.ts";
import { floorFull, full } from "./sql-workloads.ts";

const shareOfFloor = 0.2;

/** Full decisions, and the floor for a short while right after them. */
export interface Turn {
  readonly full: Sample;
  readonly floor: Sample;
}

export async function fullBesideFloor(bench: Bench, seconds: number): Promise<() => Promise<Turn>> {
  const floorSeconds = seconds * shareOfFloor;
  const decisions = await full.start({ ...bench, seconds: seconds - floorSeconds });
  const bare = await floorFull.start({ ...bench, seconds: floorSeconds });
  return async () => ({ full: await decisions.round(), floor: await bare.round() });
}
