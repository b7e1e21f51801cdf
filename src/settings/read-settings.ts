import { cleanEnv, makeExactValidator, type ReporterOptions } from "envalid";
import { UserError } from "../user-error.ts";
import type { Declaration, Setting, SettingsOf } from "./setting.ts";

/** The declared settings, of an environment; what is wrong with any of them is said at once. */
export function readSettings<D extends Declaration>(
  env: NodeJS.ProcessEnv,
  declaration: D,
): SettingsOf<D> {
  const settings = Object.values(declaration);
  const validators = Object.fromEntries(settings.map((each) => [each.variable, validatorOf(each)]));
  const values: Readonly<Record<string, unknown>> = cleanEnv(setOf(env, settings), validators, {
    reporter: refuse,
  });
  return Object.fromEntries(
    Object.entries(declaration).map(([name, { variable }]) => [name, values[variable]]),
  ) as SettingsOf<D>;
}

function validatorOf({ parse, usual, says }: Setting<unknown>) {
  return makeExactValidator<unknown>(parse)({ default: usual as undefined, desc: says });
}

/** An empty variable is not set: that is how compose passes one on that has no value. */
function setOf(env: NodeJS.ProcessEnv, settings: readonly Setting<unknown>[]) {
  return Object.fromEntries(
    settings
      .map(({ variable }) => [variable, env[variable]] as const)
      .filter(([, value]) => value !== undefined && value !== ""),
  );
}

function refuse({ errors }: ReporterOptions<Record<string, unknown>>): void {
  const wrong = Object.entries(errors).map(([name, error]) => `invalid ${name}: ${error?.message}`);
  if (wrong.length > 0) throw new UserError("setting_invalid", wrong.join("; "));
}
