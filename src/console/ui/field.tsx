import { Field } from "@base-ui/react/field";
import { type ComponentProps, type ReactNode, useId } from "react";

interface Common {
  readonly label: string;
  readonly hint?: ReactNode;
  readonly problem?: string | undefined;
}

interface TextProps
  extends Common,
    Omit<ComponentProps<"input">, "ref" | "defaultValue" | "value"> {
  readonly value?: string;
  readonly defaultValue?: string;
  readonly suffix?: string;
}

export function TextField({ label, hint, problem, suffix, ...input }: TextProps) {
  return (
    <Field.Root className="field" invalid={problem !== undefined}>
      <Field.Label className="field-label">{label}</Field.Label>
      <span className="field-box">
        <Field.Control className="input" {...input} />
        {suffix && <span className="field-suffix">{suffix}</span>}
      </span>
      {hint && <Field.Description className="field-hint">{hint}</Field.Description>}
      {problem && (
        <Field.Error className="field-problem" match>
          {problem}
        </Field.Error>
      )}
    </Field.Root>
  );
}

interface ChoiceProps extends Common, Omit<ComponentProps<"select">, "ref"> {
  readonly choices: readonly (readonly [value: string, label: string])[];
}

/** The browser's own list: it is what a phone, a keyboard and a screen reader know best. */
export function ChoiceField({ label, hint, choices, ...select }: ChoiceProps) {
  const id = useId();
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        {label}
      </label>
      <select id={id} className="input" {...select}>
        {choices.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      {hint && <span className="field-hint">{hint}</span>}
    </div>
  );
}

interface CheckProps extends Omit<ComponentProps<"input">, "type"> {
  readonly label: string;
  readonly hint?: string;
}

export function CheckField({ label, hint, ...input }: CheckProps) {
  return (
    <label className="check">
      <input type="checkbox" {...input} />
      <span>
        {label}
        {hint && <span className="field-hint">{hint}</span>}
      </span>
    </label>
  );
}
