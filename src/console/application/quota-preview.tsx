import { useState } from "react";
import { useClient } from "urql";
import { Problem, problemOfAnswer } from "../api/problem.ts";
import { percent } from "../format/amount.ts";
import { duration } from "../format/time.ts";
import { Amount } from "../ui/amount.tsx";
import { Button } from "../ui/button.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { TryQuotaDocument, type TryQuotaQuery } from "./application.operations.ts";
import { type Draft, limitsOf } from "./quota-draft.ts";
import type { Quota } from "./quotas.ts";

type Judged = NonNullable<TryQuotaQuery["tryQuota"]>;

interface Result {
  readonly before: Judged | null;
  readonly after: Judged;
  /** Of which limits it is, so that a change of them makes it old. */
  readonly limits: string;
}

interface Props {
  readonly appId: string;
  readonly draft: Draft;
  readonly inForce: Quota | undefined;
}

const dayMs = 86_400_000;

/** What the last day would have looked like: throttled by the quota in force, and by the draft. */
export function QuotaPreview({ appId, draft, inForce }: Props) {
  const client = useClient();
  const [result, setResult] = useState<Result>();
  const [problem, setProblem] = useState<Problem>();
  const [isBusy, setBusy] = useState(false);
  const limits = JSON.stringify(limitsOf(draft));

  async function judge(quota: object): Promise<Judged> {
    const until = new Date();
    const since = new Date(until.getTime() - dayMs).toISOString();
    const variables = { ...quota, since, until: until.toISOString() };
    const answer = await client.query(TryQuotaDocument, variables, {
      requestPolicy: "network-only",
    });
    const found = problemOfAnswer(answer.error);
    if (found) throw found;
    if (!answer.data?.tryQuota) throw new Problem("the last day cannot be judged");
    return answer.data.tryQuota;
  }

  async function preview() {
    setBusy(true);
    try {
      const after = await judge({ appId, ...JSON.parse(limits) });
      const before = inForce ? await judge({ configId: inForce.configId }) : null;
      setResult({ before, after, limits });
      setProblem(undefined);
    } catch (error) {
      setProblem(error as Problem);
    }
    setBusy(false);
  }

  return (
    <section className="preview">
      <div className="row preview-head">
        <h3 className="grow">What the last day would have looked like</h3>
        <Button isSmall onClick={preview} isBusy={isBusy}>
          {result ? "Try again" : "Try it"}
        </Button>
      </div>
      {problem && <ProblemNote problem={problem} />}
      {result && <Outcome result={result} isOld={result.limits !== limits} />}
    </section>
  );
}

function Outcome({ result, isOld }: { readonly result: Result; readonly isOld: boolean }) {
  const { before, after } = result;
  if (Number(after.operations) === 0 && Number(after.leasedTokens) === 0) {
    return (
      <p className="quiet">Nothing was admitted in the last day: there is nothing to try it on.</p>
    );
  }
  return (
    <div className={isOld ? "stack preview-old" : "stack"}>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Would be throttled</th>
            {before && (
              <th scope="col" className="right">
                Quota in force
              </th>
            )}
            <th scope="col" className="right">
              This draft
            </th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">
              Operations, of <Amount of={after.operations} />
            </th>
            {before && <Throttled of={before} />}
            <Throttled of={after} />
          </tr>
          <tr>
            <th scope="row">Tokens</th>
            {before && <Between least={before.throttledTokens} most={before.throttledTokensMax} />}
            <Between least={after.throttledTokens} most={after.throttledTokensMax} />
          </tr>
          <tr>
            <th scope="row">Longest wait</th>
            {before && <td className="right">{waitOf(before)}</td>}
            <td className="right">{waitOf(after)}</td>
          </tr>
        </tbody>
      </table>
      {isOld && <p className="quiet small">The limits have changed since. Try again.</p>}
      {(after.notes ?? []).map((note) => (
        <p key={note} className="quiet small">
          {note}
        </p>
      ))}
    </div>
  );
}

function Throttled({ of }: { readonly of: Judged }) {
  const { throttledOperations: least, throttledOperationsMax: most, operations } = of;
  return (
    <td className="right">
      <Range least={least} most={most} />{" "}
      <span className="quiet">({percent(Number(least), Number(operations))})</span>
    </td>
  );
}

interface RangeProps {
  readonly least: string | null;
  readonly most: string | null;
}

function Between(range: RangeProps) {
  return (
    <td className="right">
      <Range {...range} />
    </td>
  );
}

/** One number where it is known, else the bounds. */
function Range({ least, most }: RangeProps) {
  if (Number(least) === Number(most)) return <Amount of={least} />;
  return (
    <>
      <Amount of={least} /> – <Amount of={most} />
    </>
  );
}

function waitOf({ longestWaitMs }: Judged): string {
  return longestWaitMs === null ? "–" : duration(Number(longestWaitMs) / 1000);
}
