import { Link } from "@tanstack/react-router";
import { type CSSProperties, useMemo } from "react";
import { useQuery } from "urql";
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
    const since = new Date(until.getTime() - dayMs);
    return { clusterId, since: since.toISOString(), until: until.toISOString() };
  }, [clusterId]);
  const [{ data }] = useQuery({ query: ClusterConsumersDocument, variables });
  const rows = present(data?.topConsumers);
  const most = Math.max(...rows.map((row) => Number(row.tokensConsumed)), 1);
  return (
    <Card title="Who took what" about="The last day, in tokens: the first 12" isFlush>
      {!data && <Loading />}
      {data && rows.length === 0 && (
        <Empty title="Nothing was taken">Applications appear here when they take tokens.</Empty>
      )}
      {rows.length > 0 && (
        <Table columns={["Application"]} amounts={["Tokens", "Denied"]}>
          {rows.map((row) => (
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
