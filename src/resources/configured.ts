import type { DeclaredObject } from "../configuration/declared-objects.ts";
import {
  type Field,
  fieldsSchema,
  readFields,
  UnreadableField,
  writeFields,
} from "../configuration/fields.ts";
import { RefusedConfiguration } from "../configuration/refused-configuration.ts";
import { compileSchema, findingOf, isFinding } from "../configuration/schema-findings.ts";
import { kinds } from "../configuration/tree.ts";
import type { Management } from "../management/management.ts";
import { InputError } from "../user-error.ts";
import { partsOf } from "./assignments.ts";
import { inOrder } from "./in-order.ts";
import type { FieldChange, Fields, Resource } from "./resource.ts";

export interface Naming {
  readonly name: string;
  readonly plural: string;
  readonly aliases?: readonly string[];
  readonly names: readonly string[];
  /** Fields beside those of a file. */
  readonly more?: readonly Field[];
}

/** What files can declare is managed likewise: by the same declaration and the same SQL. */
export function configured(kind: string, { more = [], aliases = [], ...naming }: Naming): Resource {
  const fields = [...more, ...(kinds.get(kind)?.fields ?? [])];
  const fits = compileSchema(fieldsSchema(fields));

  const specOf = (values: Fields) => {
    if (!fits(values)) {
      const findings = (fits.errors ?? [])
        .filter(isFinding)
        .map((error) => findingOf(error).message);
      throw refused(findings);
    }
    try {
      return readFields(fields, values);
    } catch (error) {
      if (error instanceof UnreadableField) throw refused([error.message]);
      throw error;
    }
  };

  const apply = (
    management: Management,
    path: readonly string[],
    spec: Fields | null,
    reason: string,
  ) => {
    const object: DeclaredObject = { kind, path, spec, problem: told };
    const options = { reason, prune: false, takeOver: false };
    return management
      .apply({ managedBy: null, objects: [object] }, options)
      .catch((error: unknown) => {
        throw error instanceof RefusedConfiguration ? withoutPlace(error) : error;
      });
  };

  return {
    ...naming,
    aliases,
    fields: new Map(fields.map(({ key, form }) => [key, form.schema.title])),
    async list(management) {
      const objects = await management.configuration();
      return inOrder(
        objects
          .filter((object) => object.kind === kind)
          .map(({ path, spec }) => ({ path, fields: writeFields(fields, spec) })),
      );
    },
    async create(management, path, { given, reason }) {
      await apply(management, path, specOf(given), reason);
      return {};
    },
    async set(management, { path, fields: before }, change) {
      await apply(management, path, specOf(changed(before, change)), change.reason);
    },
    async delete(management, { path }, reason) {
      await apply(management, path, null, reason);
      return keepsHistory.has(kind) ? "deactivated: its history stays" : "deleted";
    },
  };
}

const keepsHistory = new Set(["tenant", "cluster", "application", "alert", "default_alert"]);

function changed(before: Fields, { given, cleared }: FieldChange): Fields {
  const after: Record<string, unknown> = { ...before };
  for (const key of cleared) delete after[key];
  for (const [key, value] of Object.entries(given)) {
    const isPart = typeof value === "object" && value !== null && !Array.isArray(value);
    after[key] = isPart ? { ...partsOf(after[key]), ...value } : value;
  }
  return after;
}

/** What is wrong is in the command, and in no file that could be pointed into. */
function told(message: string) {
  return { file: "arguments", line: 1, column: 1, message };
}

function withoutPlace(cause: RefusedConfiguration): InputError {
  const messages = cause.problems.map(({ message }) => message).join("; ");
  return new InputError("change_refused", messages, "Nothing was changed.", { cause });
}

function refused(findings: readonly string[]): InputError {
  return new InputError(
    "fields_invalid",
    [...new Set(findings)].join("; "),
    "Run the command with --help, or docs/configuration.md, for fields and units.",
  );
}
