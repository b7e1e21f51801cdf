import { useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { Limits } from "../application/limits.tsx";
import { stateOf } from "../application/quotas.ts";
import { Timeline } from "../application/timeline.tsx";
import { Freshness } from "../live/freshness.tsx";
import { useSeries } from "../live/series.ts";
import { useLive } from "../live/use-live.ts";
import { UsageTable, UsageTableRow } from "../overview/busiest.tsx";
import { ClusterMeter, Health } from "../overview/cluster-cards.tsx";
import { OverviewStatusDocument } from "../overview/overview.operations.ts";
import { clusterTotals, present, type UsageRow } from "../overview/rates.ts";
import { useMay } from "../session/viewer.tsx";
import { NotFound } from "../shell/shell.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { type Line, LineChart } from "../ui/line-chart.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { ClusterDocument, type ClusterQuery } from "./cluster.operations.ts";
import { Denials } from "./denials.tsx";
import { LastDay } from "./last-day.tsx";
import { Reservations } from "./reservations.tsx";

type Cluster = NonNullable<ClusterQuery["cluster"]>;

const lines: readonly Line[] = [
  { label: "Tokens taken a second", color: "--chart-1", isFilled: true },
  { label: "Operations denied a second", color: "--chart-bad" },
];

export default function ClusterPage() {
  const { clusterId } = useParams({ from: "/clusters/$clusterId" });
  const [{ data, error }, again] = useQuery({ query: ClusterDocument, variables: { clusterId } });
  const series = useSeries();
  const { data: live, heardAt } = useLive(OverviewStatusDocument, {}, ({ overviewStatus }) => {
    if (!overviewStatus) return;
    const totals = clusterTotals(present(overviewStatus.usage)).get(clusterId);
    const at = Date.parse(overviewStatus.at) / 1000;
    series.add({ at, values: [totals?.tokens ?? 0, totals?.denied ?? 0] });
  });
  const usage = useMemo(
    () => present(live?.overviewStatus?.usage).filter((row) => row.clusterId === clusterId),
    [live, clusterId],
  );
  const buckets = present(live?.overviewStatus?.buckets).filter(
    (bucket) => bucket.clusterId === clusterId,
  );
  const problem = problemOfAnswer(error);
  if (!data) return problem ? <ProblemNote problem={problem} /> : <Loading />;
  if (!data.cluster) return <NotFound />;
  const { cluster } = data;

  return (
    <Page
      title={cluster.name}
      about={<About cluster={cluster} />}
      actions={<Freshness heardAt={heardAt} />}
    >
      {buckets.length > 0 && (
        <Card title="Buckets of the cluster" about="Layer 1: what all of its applications share">
          <div className="cluster-meters">
            {buckets.map((bucket) => (
              <ClusterMeter key={bucket.bucketType} bucket={bucket} />
            ))}
          </div>
        </Card>
      )}
      <Reservations
        cluster={cluster}
        buckets={buckets}
        onChange={() => again({ requestPolicy: "network-only" })}
      />
      <div className="columns-even">
        <Card title="Taken and denied" about="The last five minutes">
          <LineChart label="Taken and denied" lines={lines} points={series.points} />
        </Card>
        <Now usage={usage} isLive={live !== undefined} />
      </div>
      <div className="columns-even">
        <LastDay clusterId={clusterId} />
        <Denials clusterId={clusterId} />
      </div>
      <LayerOneQuota cluster={cluster} />
    </Page>
  );
}

function About({ cluster }: { readonly cluster: Cluster }) {
  return (
    <span className="row">
      {cluster.region}
      <Health status={cluster.isActive ? cluster.healthStatus : "INACTIVE"} />
      {cluster.healthCheckedAt && (
        <span>
          probed <Moment at={cluster.healthCheckedAt} isRelative />
        </span>
      )}
    </span>
  );
}

function Now({ usage, isLive }: { readonly usage: readonly UsageRow[]; readonly isLive: boolean }) {
  const most = Math.max(...usage.map((row) => Number(row.tokensPerSecond)), 1);
  return (
    <Card title="Who takes what now" about="Over the last ten seconds" isFlush>
      {!isLive && <Loading />}
      {isLive && usage.length === 0 && (
        <Empty title="All is quiet">No application of this cluster takes anything.</Empty>
      )}
      {usage.length > 0 && (
        <UsageTable>
          {usage.map((row) => (
            <UsageTableRow key={row.appId} row={row} most={most} />
          ))}
        </UsageTable>
      )}
    </Card>
  );
}

function LayerOneQuota({ cluster }: { readonly cluster: Cluster }) {
  const mayRead = useMay("quota:read");
  const quotas = present(cluster.quotas.nodes);
  const inForce = quotas.find((quota) => stateOf(quota) === "in force" && quota.mode === "ENFORCE");
  if (!mayRead || quotas.length === 0) return null;
  return (
    <Card title="Quota of the cluster" about="Layer 1: what all applications may take together">
      <div className="stack">
        {inForce && <Limits quota={inForce} />}
        <Timeline quotas={quotas} onCancel={undefined} />
      </div>
    </Card>
  );
}
