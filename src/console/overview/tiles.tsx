import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Amount } from "../ui/amount.tsx";
import type { Totals, UsageRow } from "./rates.ts";

interface Props {
  readonly totals: Totals | undefined;
  readonly alerts: number | undefined;
  readonly usage: readonly UsageRow[];
}

export function Tiles({ totals, alerts, usage }: Props) {
  const active = usage.filter((row) => Number(row.tokensPerSecond) > 0).length;
  const denied = usage.filter((row) => Number(row.deniedPerSecond) > 0).length;
  return (
    <dl className="tiles">
      <Tile label="Tokens taken" about={`by ${many(active, "application")} now`}>
        <Amount of={totals?.tokens} per="/s" />
      </Tile>
      <Tile label="Bandwidth taken" about="averaged over ten seconds">
        <Amount of={totals?.bytes} unit="B" per="/s" />
      </Tile>
      <Tile label="Operations denied" about={`of ${many(denied, "application")}`} tone={denied > 0}>
        <Amount of={totals?.denied} per="/s" />
      </Tile>
      <Tile label="Open alerts" about={<Link to="/alerts">See them all</Link>} tone={!!alerts}>
        <Amount of={alerts} />
      </Tile>
    </dl>
  );
}

interface TileProps {
  readonly label: string;
  readonly about: ReactNode;
  readonly tone?: boolean;
  readonly children: ReactNode;
}

function Tile({ label, about, tone, children }: TileProps) {
  return (
    <div className="tile">
      <dt>{label}</dt>
      <dd className={tone ? "tile-value tile-value-bad" : "tile-value"}>{children}</dd>
      <dd className="quiet small">{about}</dd>
    </div>
  );
}

function many(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}
