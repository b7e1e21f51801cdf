import { Link } from "@tanstack/react-router";
import { useMemo } from "react";
import { useQuery } from "urql";
import type { BucketType } from "../application/application.operations.ts";
import { useApplicationNames } from "../applications/application-names.ts";
import { bucketName, sentence } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { Amount } from "../ui/amount.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Table } from "../ui/table.tsx";
import { ClusterDenialsDocument } from "./cluster.operations.ts";

const hourMs = 3_600_000;

/** Which bucket denied whom, in the last hour. */
export function Denials({ clusterId }: { readonly clusterId: string }) {
  const since = useMemo(() => new Date(Date.now() - hourMs).toISOString(), []);
  const [{ data }] = useQuery({ query: ClusterDenialsDocument, variables: { since } });
  const { applications, isComplete } = useApplicationNames();
  const rows = useMemo(() => {
    const names = new Map(
      applications
        .filter((each) => each.clusterId === clusterId)
        .map(({ appId, name }) => [appId, name]),
    );
    const sums = new Map<string, { appId: string; reason: string; operations: number }>();
    for (const { appId, reason, operations } of present(data?.denialCounts?.nodes)) {
      if (!names.has(appId)) continue;
      const key = `${appId} ${reason}`;
      const before = sums.get(key)?.operations ?? 0;
      sums.set(key, { appId, reason, operations: before + Number(operations) });
    }
    return [...sums.values()]
      .sort((one, other) => other.operations - one.operations)
      .map((row) => ({ ...row, name: names.get(row.appId) }));
  }, [data, applications, clusterId]);

  return (
    <Card title="Denied" about="The last hour, by application and by what was short" isFlush>
      {(!data || !isComplete) && <Loading />}
      {data && isComplete && rows.length === 0 && (
        <Empty title="Nothing was denied">
          When a bucket cannot pay for an operation, it is counted here with the bucket that was
          short.
        </Empty>
      )}
      {rows.length > 0 && (
        <Table columns={["Application", "Short was"]} amounts={["Operations"]}>
          {rows.slice(0, 12).map((row) => (
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
    </Card>
  );
}

function reasonName(reason: string): string {
  return /^(IOPS|BANDWIDTH)_/.test(reason) ? bucketName(reason as BucketType) : sentence(reason);
}
