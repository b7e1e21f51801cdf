import { useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useMemo, useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { sentence } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { useViewer } from "../session/viewer.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { ChoiceField, TextField } from "../ui/field.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { AuditDocument, type AuditQuery } from "./audit.operations.ts";
import { actionChoices, entityTypeChoices, isAction, isEntityType } from "./choices.ts";
import { differences } from "./differences.ts";
import { ExportAudit } from "./export-audit.tsx";

type Entry = NonNullable<NonNullable<AuditQuery["searchAudit"]>["nodes"][number]>;

const dayMs = 86_400_000;
const spans = [
  ["1", "the last day"],
  ["7", "the last week"],
  ["31", "the last month"],
  ["366", "the last year"],
] as const;

export default function AuditPage() {
  const { may } = useViewer();
  const { days = 7, action, kind, text } = useSearch({ from: "/audit" });
  const navigate = useNavigate({ from: "/audit" });
  const [asked, setAsked] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each search looks until now.
  const span = useMemo(() => {
    const until = Date.now();
    return {
      since: new Date(until - days * dayMs).toISOString(),
      until: new Date(until).toISOString(),
    };
  }, [days, asked]);
  const filter = {
    ...span,
    ...(isAction(action) && { action }),
    ...(isEntityType(kind) && { entityType: kind }),
    ...(text && { containing: text }),
  };

  function search(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.currentTarget)) as Record<string, string>;
    setAsked((count) => count + 1);
    navigate({
      search: {
        days: Number(given.days),
        action: given.action || undefined,
        kind: given.kind || undefined,
        text: given.text || undefined,
      },
    });
  }

  return (
    <Page
      title="Audit"
      about="Every change, who made it, and what it was before."
      actions={may("audit:export") && <ExportAudit {...span} />}
    >
      <form className="ask" onSubmit={search}>
        <ChoiceField label="In" name="days" choices={spans} defaultValue={String(days)} />
        <ChoiceField
          {...{ label: "Action", name: "action", choices: actionChoices }}
          defaultValue={action ?? ""}
        />
        <ChoiceField
          {...{ label: "Kind", name: "kind", choices: entityTypeChoices }}
          defaultValue={kind ?? ""}
        />
        <TextField label="Contains" name="text" minLength={3} defaultValue={text ?? ""} />
        <Button type="submit" kind="primary">
          Search
        </Button>
      </form>
      <Card title="Changes" about="The latest first" isFlush>
        <Pages key={JSON.stringify(filter)} filter={filter} />
      </Card>
    </Page>
  );
}

interface Filter {
  readonly since: string;
  readonly until: string;
}

function Pages({ filter }: { readonly filter: Filter }) {
  const [cursors, setCursors] = useState<readonly (string | null)[]>([null]);
  return (
    <>
      {cursors.map((after, index) => (
        <Entries
          key={after}
          filter={filter}
          after={after}
          onMore={
            index === cursors.length - 1 ? (cursor) => setCursors([...cursors, cursor]) : undefined
          }
        />
      ))}
    </>
  );
}

interface EntriesProps {
  readonly filter: Filter;
  readonly after: string | null;
  readonly onMore: ((cursor: string) => void) | undefined;
}

function Entries({ filter, after, onMore }: EntriesProps) {
  const [{ data, error }] = useQuery({ query: AuditDocument, variables: { ...filter, after } });
  const problem = problemOfAnswer(error);
  if (problem) return <ProblemNote problem={problem} />;
  if (!data) return <Loading />;
  const entries = present(data.searchAudit?.nodes);
  const cursor = data.searchAudit?.pageInfo.endCursor;
  if (entries.length === 0 && after === null) {
    return <Empty title="No change was found">Look at a longer span, or for less.</Empty>;
  }
  return (
    <>
      <ol className="list">
        {entries.map((entry) => (
          <EntryItem key={entry.logId} entry={entry} />
        ))}
      </ol>
      {onMore && cursor && data.searchAudit?.pageInfo.hasNextPage && (
        <div className="list-item">
          <Button isSmall onClick={() => onMore(cursor)}>
            Earlier ones
          </Button>
        </div>
      )}
    </>
  );
}

function EntryItem({ entry }: { readonly entry: Entry }) {
  const changes = differences(entry.oldValues, entry.newValues);
  return (
    <li className="list-item">
      <details className="entry">
        <summary>
          <span className="strong">{sentence(entry.action)}</span>
          <span className="quiet">{sentence(entry.entityType).toLowerCase()}</span>
          {entry.status !== "SUCCESS" && <Badge tone="bad">failure</Badge>}
          <span className="grow" />
          <span className="quiet small">
            <Moment at={entry.createdAt} />
          </span>
        </summary>
        {entry.errorMessage && <p className="bad small">{entry.errorMessage}</p>}
        <dl className="diff diff-plain">
          {changes.map(({ field, before, after }) => (
            <div key={field}>
              <dt>{field}</dt>
              <dd>
                {before !== undefined && <del>{before}</del>}
                {after !== undefined && <ins>{after}</ins>}
              </dd>
            </div>
          ))}
          <div>
            <dt>Thing</dt>
            <dd>{entry.entityId ?? "–"}</dd>
          </div>
          <div>
            <dt>By</dt>
            <dd>{entry.userId ?? "the system"}</dd>
          </div>
          {entry.requestId && (
            <div>
              <dt>Request</dt>
              <dd>{entry.requestId}</dd>
            </div>
          )}
        </dl>
      </details>
    </li>
  );
}
