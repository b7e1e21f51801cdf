import { useQuery } from "urql";
import { Freshness } from "../live/freshness.tsx";
import { useSeries } from "../live/series.ts";
import { useLive } from "../live/use-live.ts";
import { useMay } from "../session/viewer.tsx";
import { Card } from "../ui/card.tsx";
import { type Line, LineChart } from "../ui/line-chart.tsx";
import { Page } from "../ui/page.tsx";
import { Busiest } from "./busiest.tsx";
import { ClusterCards } from "./cluster-cards.tsx";
import { OpenAlerts } from "./open-alerts.tsx";
import { OverviewFactsDocument, OverviewStatusDocument } from "./overview.operations.ts";
import { present, totalsOf } from "./rates.ts";
import { RecentFailures } from "./recent-failures.tsx";
import { Tiles } from "./tiles.tsx";

const lines: readonly Line[] = [
  { label: "Tokens taken a second", color: "--chart-1", isFilled: true },
  { label: "Operations denied a second", color: "--chart-bad" },
];

const bytesLines: readonly Line[] = [
  { label: "Bytes taken a second", color: "--chart-2", unit: "B/s", isFilled: true },
];

export function OverviewPage() {
  const mayMonitor = useMay("system:configure");
  const [{ data: facts }] = useQuery({
    ...{ query: OverviewFactsDocument, variables: { mayMonitor } },
  });
  const series = useSeries();
  const bytes = useSeries();
  const { data: live, heardAt } = useLive(OverviewStatusDocument, {}, ({ overviewStatus }) => {
    if (!overviewStatus) return;
    const at = Date.parse(overviewStatus.at) / 1000;
    const totals = totalsOf(present(overviewStatus.usage));
    series.add({ at, values: [totals.tokens, totals.denied] });
    bytes.add({ at, values: [totals.bytes] });
  });
  const usage = present(live?.overviewStatus?.usage);
  const buckets = present(live?.overviewStatus?.buckets);
  const alerts = present(facts?.alerts?.nodes);

  return (
    <Page
      title="Overview"
      about="What your applications take from the clusters, as it happens."
      actions={<Freshness heardAt={heardAt} />}
    >
      <Tiles totals={live && totalsOf(usage)} alerts={facts && alerts.length} usage={usage} />
      <div className="columns-even">
        <Card title="Operations" about="The last five minutes, in tokens">
          <LineChart label="Operations" lines={lines} points={series.points} />
        </Card>
        <Card title="Bandwidth" about="The last five minutes">
          <LineChart label="Bandwidth" lines={bytesLines} points={bytes.points} unit="B/s" />
        </Card>
      </div>
      <ClusterCards
        clusters={facts && present(facts.clusters?.nodes)}
        buckets={buckets}
        usage={usage}
      />
      <div className="columns">
        <Busiest usage={live && usage} />
        <div className="stack">
          <OpenAlerts alerts={facts && alerts} />
          {mayMonitor && <RecentFailures jobs={facts && present(facts.failedJobs?.nodes)} />}
        </div>
      </div>
    </Page>
  );
}
