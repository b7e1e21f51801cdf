import type { Kind, Setting } from "./setting.ts";

interface Told<Value> {
  readonly says: string;
  readonly usual?: Value;
  /** What the docs say of the usual value, where it follows from something else. */
  readonly usually?: string;
}

type ValueOf<Value, Given extends Told<Value>> = Given extends { readonly usual: Value }
  ? Value
  : Value | undefined;

export function text<Given extends Told<string>>(variable: string, given: Given) {
  return declare<string, Given>(variable, given, { name: "text" }, (value) => value);
}

/** Never repeated, neither in an error nor in a log. */
export function secret<Given extends Told<string>>(variable: string, given: Given) {
  return declare<string, Given>(variable, given, { name: "secret" }, (value) => value);
}

/** Words that commas or spaces part. */
export function list<Given extends Told<readonly string[]>>(variable: string, given: Given) {
  const split = (value: string) => value.split(/[\s,]+/).filter(Boolean);
  return declare<readonly string[], Given>(variable, given, { name: "list" }, split);
}

export function onOrOff<Given extends Told<boolean>>(variable: string, given: Given) {
  return declare<boolean, Given>(variable, given, { name: "switch" }, (value) => {
    if (value === "on" || value === "off") return value === "on";
    throw new Error(`neither on nor off: ${value}`);
  });
}

export function oneOf<Given extends Told<string>>(
  variable: string,
  choices: readonly string[],
  given: Given,
) {
  return declare<string, Given>(variable, given, { name: "choice", choices }, (value) => {
    if (choices.includes(value)) return value;
    throw new Error(`none of ${choices.join(", ")}: ${value}`);
  });
}

export function wholeNumber<Given extends Told<number>>(
  variable: string,
  given: Given & { readonly least?: number },
) {
  const least = given.least ?? 1;
  return declare<number, Given>(variable, given, { name: "whole number", least }, (value) => {
    const number = Number(value);
    if (Number.isSafeInteger(number) && number >= least) return number;
    throw new Error(`not a whole number >= ${least}: ${value}`);
  });
}

/** 0 takes a port that is free, unless `least` forbids it. */
export function port<Given extends Told<number>>(
  variable: string,
  given: Given & { readonly least?: number },
) {
  const least = given.least ?? 0;
  return declare<number, Given>(variable, given, { name: "port", least }, (value) => {
    const number = Number(value);
    if (Number.isInteger(number) && number >= least && number <= 65_535) return number;
    throw new Error(`not a port number: ${value}`);
  });
}

function declare<Value, Given extends Told<Value>>(
  variable: string,
  { says, usual, usually = written(usual) }: Told<Value>,
  kind: Kind,
  parse: (value: string) => Value,
): Setting<ValueOf<Value, Given>> {
  return { variable, says, kind, usual, usually, parse } as Setting<ValueOf<Value, Given>>;
}

function written(usual: unknown): string {
  if (usual === undefined || (Array.isArray(usual) && usual.length === 0)) return "none";
  return typeof usual === "boolean" ? (usual ? "on" : "off") : String(usual);
}
