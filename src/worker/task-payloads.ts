import { InputError } from "../user-error.ts";

type Check = (value: unknown) => boolean;

interface Field {
  readonly check: Check;
  /** What it has to be, for people. */
  readonly form: string;
  readonly required?: boolean;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const oneOf = (...values: readonly unknown[]): Field => ({
  check: (value) => values.includes(value),
  form: values.map((value) => JSON.stringify(value)).join(" or "),
});

const id: Field = {
  check: (value) => typeof value === "string" && uuid.test(value),
  form: "a UUID",
  required: true,
};

/** The fields that a task takes; a task that is not here takes none. */
const fieldsOf: Readonly<Record<string, Readonly<Record<string, Field>>>> = {
  aggregate_metrics: { grain: { ...oneOf("hour", "day"), required: true } },
  deliver_notification: {
    notification_id: id,
  },
  expire_leases: { by: oneOf("clock") },
  finish_suspension: {
    suspension_id: id,
  },
  send_invitation: {
    invitation_id: id,
  },
  fold_denials: { is_second_run: oneOf(true, false) },
};

/**
 * What a task cannot do with this payload: undefined where it fits. The queue adds `_cron` to what it
 * schedules; an empty payload is an empty object.
 */
export function payloadProblem(task: string, payload: unknown): string | undefined {
  const fields = fieldsOf[task] ?? {};
  const given = payload ?? {};
  if (typeof given !== "object" || Array.isArray(given)) return "it is not a JSON object";
  for (const [name, { check, form, required }] of Object.entries(fields)) {
    const value = (given as Record<string, unknown>)[name];
    if (value === undefined ? required : !check(value)) return `${name} is ${form}`;
  }
  const unknown = Object.keys(given).find((name) => name !== "_cron" && !(name in fields));
  return unknown === undefined ? undefined : `it does not take ${unknown}`;
}

export function requirePayload(task: string, payload: unknown): void {
  const problem = payloadProblem(task, payload);
  if (problem === undefined) return;
  const example = Object.entries(fieldsOf[task] ?? {})
    .map(([name, { form, required }]) => `${name}${required ? "" : " (optional)"}: ${form}`)
    .join("; ");
  throw new InputError(
    "payload_invalid",
    `invalid payload of ${task}: ${problem}`,
    example === "" ? "It takes no payload." : `It takes ${example}.`,
  );
}
