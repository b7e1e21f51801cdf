import { type FormEvent, type ReactNode, useState } from "react";
import { type AnyVariables, type TypedDocumentNode, useClient } from "urql";
import { type Problem, problemOfAnswer } from "../api/problem.ts";
import { Button } from "./button.tsx";
import { Dialog } from "./dialog.tsx";
import { ProblemNote } from "./problem-note.tsx";

/** Sends a mutation once, however often the network makes it be sent. */
export function useAction<TData, TVariables extends AnyVariables>(
  document: TypedDocumentNode<TData, TVariables>,
) {
  const client = useClient();
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();

  async function act(variables: TVariables): Promise<TData | undefined> {
    setBusy(true);
    const headers = { "content-type": "application/json", "idempotency-key": crypto.randomUUID() };
    const answer = await client.mutation(document, variables, { fetchOptions: { headers } });
    setBusy(false);
    setProblem(problemOfAnswer(answer.error));
    return answer.error === undefined ? answer.data : undefined;
  }

  return { act, isBusy, problem, forget: () => setProblem(undefined) };
}

interface Props<TData, TVariables extends AnyVariables> {
  readonly title: string;
  /** Names what is affected. */
  readonly about: ReactNode;
  readonly verb: string;
  readonly kind?: "primary" | "danger";
  readonly document: TypedDocumentNode<TData, TVariables>;
  readonly variables: (given: Readonly<Record<string, string>>) => TVariables;
  readonly onClose: () => void;
  readonly onDone: (data: TData) => void;
  readonly children?: ReactNode;
}

/** Asks before it acts, and says what went wrong where it was asked. */
export function ActionDialog<TData, TVariables extends AnyVariables>(
  props: Props<TData, TVariables>,
) {
  const { act, isBusy, problem } = useAction(props.document);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.currentTarget)) as Record<string, string>;
    const data = await act(props.variables(given));
    if (data !== undefined) props.onDone(data);
  }

  return (
    <Dialog title={props.title} about={props.about} isOpen onClose={props.onClose}>
      <form className="stack" onSubmit={submit}>
        {props.children}
        {problem && <ProblemNote problem={problem} />}
        <div className="row row-end">
          <Button kind="quiet" onClick={props.onClose}>
            Cancel
          </Button>
          <Button type="submit" kind={props.kind ?? "primary"} isBusy={isBusy}>
            {props.verb}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
