import { useMemo } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { bucketName, sentence, unitOf } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { Amount } from "../ui/amount.tsx";
import { Badge } from "../ui/badge.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { type Line, LineChart } from "../ui/line-chart.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { Table } from "../ui/table.tsx";
import { UsageDocument, type UsageQuery } from "./application.operations.ts";

type Facts = NonNullable<UsageQuery["application"]>;

const tokenLines: readonly Line[] = [
  { label: "Tokens an hour", color: "--chart-1", isFilled: true },
  { label: "Operations denied an hour", color: "--chart-bad" },
];
const byteLines: readonly Line[] = [
  { label: "Bytes an hour", color: "--chart-2", unit: "B", isFilled: true },
];

const dayMs = 86_400_000;

export function UsageTab({ appId }: { readonly appId: string }) {
  const variables = useMemo(() => {
    const until = new Date();
    const since = new Date(until.getTime() - dayMs);
    return { appId, since: since.toISOString(), until: until.toISOString() };
  }, [appId]);
  const [{ data, error }] = useQuery({ query: UsageDocument, variables });
  const hours = present(data?.usageOverTime);
  const points = useMemo(
    () => (of: readonly ("tokensConsumed" | "bytesConsumed" | "deniedOperations")[]) =>
      hours.map((hour) => ({
        at: Date.parse(hour.startsAt ?? "") / 1000,
        values: of.map((field) => Number(hour[field])),
      })),
    [hours],
  );
  const problem = problemOfAnswer(error);
  if (problem) return <ProblemNote problem={problem} />;
  if (!data) return <Loading />;
  return (
    <div className="stack">
      <div className="columns-even">
        <Card title="Operations" about="The last day, by the hour">
          <LineChart
            label="Operations"
            lines={tokenLines}
            points={points(["tokensConsumed", "deniedOperations"])}
            isLong
          />
        </Card>
        <Card title="Bandwidth" about="The last day, by the hour">
          <LineChart
            label="Bandwidth"
            lines={byteLines}
            points={points(["bytesConsumed"])}
            unit="B"
            isLong
          />
        </Card>
      </div>
      {data.application && <Borrowings of={data.application} />}
      {data.application && <Ledger of={data.application} />}
    </div>
  );
}

function Borrowings({ of: { borrowings } }: { readonly of: Facts }) {
  const rows = present(borrowings.nodes);
  if (rows.length === 0) return null;
  return (
    <Card title="Borrowings" isFlush>
      <ul className="list">
        {rows.map((loan) => (
          <li key={loan.borrowingId} className="list-item">
            <div className="grow">
              <span className="strong">
                <Amount of={loan.tokensBorrowed} unit={unitOf(loan.bucketType)} />
              </span>{" "}
              {bucketName(loan.bucketType).toLowerCase()}
              <p className="quiet small">
                due <Moment at={loan.dueAt} isRelative />, to pay back{" "}
                <Amount of={loan.repaymentTokens} unit={unitOf(loan.bucketType)} />, paid{" "}
                <Amount of={loan.repaidTokens} unit={unitOf(loan.bucketType)} />
              </p>
            </div>
            <Badge tone={loan.status === "ACTIVE" ? "info" : "neutral"}>
              {loan.status.toLowerCase()}
            </Badge>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Ledger({ of: { ledger } }: { readonly of: Facts }) {
  const rows = present(ledger.nodes);
  return (
    <Card title="Ledger" about="The latest changes of its buckets, each of them" isFlush>
      {rows.length === 0 ? (
        <Empty title="Nothing was taken yet">
          Each decision that admits an operation is written here, with what the bucket held after
          it.
        </Empty>
      ) : (
        <Table columns={["When", "Bucket", "What"]} amounts={["Change", "Then held"]}>
          {rows.map((row) => (
            <tr key={`${row.bucketType} ${row.seq}`}>
              <td>
                <Moment at={row.createdAt} isPrecise />
              </td>
              <td>{bucketName(row.bucketType)}</td>
              <td>{sentence(row.transactionType)}</td>
              <td className="right">
                <Amount of={row.tokensChange} unit={unitOf(row.bucketType)} />
              </td>
              <td className="right">
                <Amount of={row.balanceAfter} unit={unitOf(row.bucketType)} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Card>
  );
}
