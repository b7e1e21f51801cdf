import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { useQuery } from "urql";
import type { BucketType } from "../application/application.operations.ts";
import { bucketName, sentence } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { Amount } from "../ui/amount.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Table } from "../ui/table.tsx";
import { ClusterDenialsDocument, type ClusterDenialsQuery } from "./cluster.operations.ts";

const hourMs = 3_600_000;
const shown = 12;

type Count = NonNullable<NonNullable<ClusterDenialsQuery["denialCounts"]>["nodes"][number]>;

interface Sum {
  readonly name: string | undefined;
  readonly operations: number;
}

/** Which bucket denied whom, in the last hour. */
export function Denials({ clusterId }: { readonly clusterId: string }) {
  const since = useMemo(() => new Date(Date.now() - hourMs).toISOString(), []);
  const [{ data }] = useQuery({ query: ClusterDenialsDocument, variables: { clusterId, since } });
  const rows = useMemo(() => sumsOf(present(data?.denialCounts?.nodes)), [data]);

  return (
    <Card title="Denied" about="The last hour, by application and by what was short" isFlush>
      {!data && <Loading />}
      {data && rows.length === 0 && (
        <Empty title="Nothing was denied">
          When a bucket cannot pay for an operation, it is counted here with the bucket that was
          short.
        </Empty>
      )}
      {rows.length > 0 && (
        <Table columns={["Application", "Short was"]} amounts={["Operations"]}>
          {rows.slice(0, shown).map((row) => (
            <tr key={`${row.appId} ${row.reason}`}>
              <th scope="row">
                <Link to="/applications/$appId" params={{ appId: row.appId }}>
                  {row.name}
                </Link>
              </th>
              <td>{reasonName(row.reason)}</td>
              <td className="right">
                <Amount of={row.operations} />
              </td>
            </tr>
          ))}
        </Table>
      )}
      {rows.length > shown && <p className="quiet small">The first {shown} are shown.</p>}
      {data?.denialCounts?.pageInfo.hasNextPage && (
        <p className="quiet small">
          There are more counts than the 500 largest that are added up here: sums are at least
          these.
        </p>
      )}
    </Card>
  );
}

/** By application and reason, the most first. */
function sumsOf(counts: readonly Count[]) {
  const sums = new Map<string, Pick<Count, "appId" | "reason"> & Sum>();
  for (const { appId, reason, operations, application } of counts) {
    const key = `${appId} ${reason}`;
    const before = sums.get(key)?.operations ?? 0;
    const sum = { name: application?.name, operations: before + Number(operations) };
    sums.set(key, { appId, reason, ...sum });
  }
  return [...sums.values()].sort((one, other) => other.operations - one.operations);
}

function reasonName(reason: string): string {
  return /^(IOPS|BANDWIDTH)_/.test(reason) ? bucketName(reason as BucketType) : sentence(reason);
}
