import { useEffect } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { sentence } from "../format/words.ts";
import { useNow } from "../live/now.ts";
import { present } from "../overview/rates.ts";
import { Amount } from "../ui/amount.tsx";
import { Badge } from "../ui/badge.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { Table } from "../ui/table.tsx";
import { ProcessesDocument, type ProcessesQuery } from "./processes.operations.ts";

type Process = NonNullable<NonNullable<ProcessesQuery["processes"]>["nodes"][number]>;

/** They report every half minute. */
const againMs = 10_000;
const kinds = ["GATEWAY", "CLIENT", "WORKER", "API"] as const;
const names = { GATEWAY: "Gateways", CLIENT: "Clients", WORKER: "Workers", API: "APIs" } as const;

export default function ProcessesPage() {
  const [{ data, error }, again] = useQuery({ query: ProcessesDocument });
  const now = useNow(againMs);
  useEffect(() => {
    if (now > 0) again({ requestPolicy: "network-only" });
  }, [again, now]);
  const problem = problemOfAnswer(error);
  const all = present(data?.processes?.nodes);

  return (
    <Page title="Processes" about="Gateways, clients, workers and APIs, as they report themselves.">
      {problem && <ProblemNote problem={problem} />}
      {!data && !problem && <Loading />}
      {data && all.length === 0 && (
        <Card title="None is there" isFlush>
          <Empty title="No process has reported">
            Each process reports a few seconds after its start, and every half minute from then on.
          </Empty>
        </Card>
      )}
      {kinds.map((kind) => (
        <Kind key={kind} title={names[kind]} processes={all.filter((each) => each.kind === kind)} />
      ))}
    </Page>
  );
}

function Kind({
  title,
  processes,
}: {
  readonly title: string;
  readonly processes: readonly Process[];
}) {
  if (processes.length === 0) return null;
  const silent = processes.filter(({ isSilent }) => isSilent).length;
  return (
    <Card
      title={title}
      about={silent === 0 ? `${processes.length} there` : `${silent} of ${processes.length} silent`}
      isFlush
    >
      <Table
        columns={["Name", "Version", "Reported"]}
        amounts={["Applications", "Calls", "Outages", "Uncharged"]}
      >
        {processes.map((process) => (
          <Row key={`${process.login} ${process.processId}`} process={process} />
        ))}
      </Table>
    </Card>
  );
}

function Row({ process }: { readonly process: Process }) {
  const { outages, unchargedOperations: uncharged } = process;
  return (
    <tr>
      <th scope="row" title={`${sentence(process.kind)} of the login ${process.login}`}>
        {process.name} {process.isSilent && <Badge tone="warn">silent</Badge>}
        <p className="quiet small">
          on {process.host}, since <Moment at={process.startedAt} />
        </p>
      </th>
      <td>{process.version}</td>
      <td>
        <Moment at={process.seenAt} isRelative />
      </td>
      <td className="right">
        <Amount of={process.applicationCount} />
      </td>
      <td className="right">
        <Amount of={process.databaseCalls} />
      </td>
      <td className={Number(outages) > 0 ? "right bad" : "right quiet"}>
        <Amount of={outages} />
      </td>
      <td className={Number(uncharged) > 0 ? "right bad" : "right quiet"}>
        <Amount of={uncharged} />
      </td>
    </tr>
  );
}
