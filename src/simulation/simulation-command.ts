import { writeFileSync } from "node:fs";
import { wholeNumber } from "../input/whole-number.ts";
import { UserError } from "../user-error.ts";
import type { Findings } from "./findings.ts";
import { type SimulationOptions, type Skew, skews } from "./options.ts";
import { simulate } from "./simulate.ts";

/** As they are typed. */
export type SimulationArguments = Readonly<
  Record<Exclude<keyof SimulationOptions, "rttMs"> | "rtt", string>
> & { readonly json?: string; readonly verbose?: boolean };

const bounds = {
  gateways: [1, 100_000],
  applications: [1, 10_000_000],
  clusters: [1, 100_000],
  tenants: [1, 1_000_000],
  rate: [1, 100_000_000],
  spread: [1, 100_000],
  rtt: [1, 60_000],
  seconds: [1, 86_400],
  crashes: [0, 1_000_000],
  cuts: [0, 1_000_000],
  cutSeconds: [1, 3_600],
  seed: [0, 2 ** 31],
} as const satisfies Partial<Record<keyof SimulationArguments, readonly [number, number]>>;

/** Runs the simulation; throws, after it has told what it found, where more was let through. */
export async function simulationCommand(given: SimulationArguments): Promise<string> {
  const tell = given.verbose ? (line: string) => console.error(line) : undefined;
  const findings = await simulate(optionsOf(given), tell);
  const json = `${JSON.stringify(findings, undefined, 2)}\n`;
  if (given.json !== undefined) writeFileSync(given.json, json);
  if (findings.over_admitted === 0) return textOf(findings);
  throw new UserError("over_admitted", textOf(findings), "Keep the seed, and mend what it found.");
}

function optionsOf(given: SimulationArguments): SimulationOptions {
  const whole = (name: keyof typeof bounds) => {
    const option = name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`);
    const [least, most] = bounds[name];
    return wholeNumber(option, given[name], least, most);
  };
  return {
    gateways: whole("gateways"),
    applications: whole("applications"),
    clusters: whole("clusters"),
    tenants: whole("tenants"),
    skew: skewOf(given.skew),
    rate: whole("rate"),
    load: part("load", given.load),
    layer1: part("layer1", given.layer1),
    burst: part("burst", given.burst),
    spread: whole("spread"),
    rttMs: whole("rtt"),
    seconds: whole("seconds"),
    crashes: whole("crashes"),
    cuts: whole("cuts"),
    cutSeconds: whole("cutSeconds"),
    seed: whole("seed"),
  };
}

function skewOf(text: string): Skew {
  const skew = skews.find((known) => known === text);
  if (skew !== undefined) return skew;
  throw new UserError(
    "skew_invalid",
    `invalid --skew: ${text}`,
    `Give one of ${skews.join(", ")}.`,
  );
}

function part(name: string, text: string): number {
  const number = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && number > 0 && number <= 100) return number;
  throw new UserError(`${name}_invalid`, `invalid --${name}: ${text}`, "Give a part, such as 0.8.");
}

function textOf(findings: Findings): string {
  return Object.entries(findings)
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join("\n");
}
