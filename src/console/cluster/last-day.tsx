import { Link } from "@tanstack/react-router";
import { type CSSProperties, useMemo } from "react";
import { useQuery } from "urql";
import { useApplicationNames } from "../applications/application-names.ts";
import { present } from "../overview/rates.ts";
import { Amount } from "../ui/amount.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Table } from "../ui/table.tsx";
import { ClusterConsumersDocument } from "./cluster.operations.ts";

const dayMs = 86_400_000;

/** Who took what over the last day. */
export function LastDay({ clusterId }: { readonly clusterId: string }) {
  const variables = useMemo(() => {
    const until = new Date();
    return { since: new Date(until.getTime() - dayMs).toISOString(), until: until.toISOString() };
  }, []);
  const [{ data }] = useQuery({ query: ClusterConsumersDocument, variables });
  const { applications, isComplete } = useApplicationNames();
  const ofCluster = useMemo(
    () =>
      new Set(
        applications.filter((each) => each.clusterId === clusterId).map(({ appId }) => appId),
      ),
    [applications, clusterId],
  );
  const rows = present(data?.topConsumers).filter(({ appId }) => ofCluster.has(appId ?? ""));
  const most = Math.max(...rows.map((row) => Number(row.tokensConsumed)), 1);
  return (
    <Card title="Who took what" about="The last day, in tokens" isFlush>
      {(!data || !isComplete) && <Loading />}
      {data && isComplete && rows.length === 0 && (
        <Empty title="Nothing was taken">Applications appear here when they take tokens.</Empty>
      )}
      {rows.length > 0 && (
        <Table columns={["Application"]} amounts={["Tokens", "Denied"]}>
          {rows.slice(0, 12).map((row) => (
            <tr key={row.appId}>
              <th
                scope="row"
                className="bar-cell"
                style={
                  {
                    "--share": `${(Number(row.tokensConsumed) / most) * 100}%`,
                  } as CSSProperties
                }
              >
                <Link to="/applications/$appId" params={{ appId: row.appId ?? "" }}>
                  {row.appName}
                </Link>
              </th>
              <td className="right">
                <Amount of={row.tokensConsumed} />
              </td>
              <td className="right">
                <Amount of={row.deniedOperations} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Card>
  );
}
