import { Link } from "@tanstack/react-router";
import type { CSSProperties, ReactNode } from "react";
import { Amount } from "../ui/amount.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Table } from "../ui/table.tsx";
import type { UsageRow } from "./rates.ts";

const mostShown = 10;

export function Busiest({ usage }: { readonly usage: readonly UsageRow[] | undefined }) {
  return (
    <Card title="Busiest applications" about="Over the last ten seconds" isFlush>
      <Rows usage={usage} />
    </Card>
  );
}

function Rows({ usage }: { readonly usage: readonly UsageRow[] | undefined }) {
  if (usage === undefined) return <Loading />;
  if (usage.length === 0) {
    return (
      <Empty title="All is quiet">
        Applications appear here when they take tokens. Try it:{" "}
        <code>npx storage-qos consume read_medium 64KiB</code>
      </Empty>
    );
  }
  const most = Math.max(...usage.map((row) => Number(row.tokensPerSecond)), 1);
  return (
    <UsageTable>
      {usage.slice(0, mostShown).map((row) => (
        <UsageTableRow key={row.appId} row={row} most={most} />
      ))}
    </UsageTable>
  );
}

export function UsageTable({ children }: { readonly children: ReactNode }) {
  return (
    <Table columns={["Application"]} amounts={["Tokens", "Bandwidth", "Denied"]}>
      {children}
    </Table>
  );
}

export function UsageTableRow({ row, most }: { readonly row: UsageRow; readonly most: number }) {
  const share = { "--share": `${(Number(row.tokensPerSecond) / most) * 100}%` } as CSSProperties;
  return (
    <tr>
      <th scope="row" className="bar-cell" style={share}>
        <Link to="/applications/$appId" params={{ appId: row.appId ?? "" }}>
          {row.appName}
        </Link>
      </th>
      <td className="right">
        <Amount of={row.tokensPerSecond} per="/s" />
      </td>
      <td className="right">
        <Amount of={row.bytesPerSecond} unit="B" per="/s" />
      </td>
      <td className={Number(row.deniedPerSecond) > 0 ? "right bad" : "right quiet"}>
        <Amount of={row.deniedPerSecond} per="/s" />
      </td>
    </tr>
  );
}
