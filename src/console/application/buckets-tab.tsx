import { percent, short } from "../format/amount.ts";
import { duration } from "../format/time.ts";
import { bucketName, unitOf } from "../format/words.ts";
import { Freshness } from "../live/freshness.tsx";
import { useSeries } from "../live/series.ts";
import { useLive } from "../live/use-live.ts";
import { present } from "../overview/rates.ts";
import { Amount } from "../ui/amount.tsx";
import { Badge } from "../ui/badge.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { type Line, LineChart } from "../ui/line-chart.tsx";
import { Loading } from "../ui/loading.tsx";
import { Meter, toneOf } from "../ui/meter.tsx";
import {
  ApplicationStatusDocument,
  type ApplicationStatusSubscription,
} from "./application.operations.ts";
import { WhyThrottled } from "./why-throttled.tsx";

type Status = NonNullable<ApplicationStatusSubscription["applicationStatus"]>;
export type Bucket = NonNullable<NonNullable<Status["application"]>["buckets"]["nodes"][number]>;

const lines: readonly Line[] = [
  { label: "Operations", color: "--chart-1", unit: "%", isFilled: true },
  { label: "Bandwidth", color: "--chart-2", unit: "%" },
];

interface Props {
  readonly appId: string;
  readonly operations: readonly string[];
}

export function BucketsTab({ appId, operations }: Props) {
  const series = useSeries();
  const { data, heardAt } = useLive(
    ApplicationStatusDocument,
    { appId },
    ({ applicationStatus }) => {
      if (!applicationStatus) return;
      const buckets = enforced(applicationStatus);
      const at = Date.parse(applicationStatus.at) / 1000;
      series.add({ at, values: [fillOf(buckets, "IOPS_L2"), fillOf(buckets, "BANDWIDTH_L2")] });
    },
  );
  const status = data?.applicationStatus;

  return (
    <div className="stack">
      <Card title="Buckets now" actions={<Freshness heardAt={heardAt} />}>
        {status ? <Buckets buckets={enforced(status)} /> : <Loading />}
      </Card>
      {status && <Candidates buckets={shadows(status)} />}
      {status && enforced(status).length > 0 && (
        <Card title="How full they were" about="The last minutes, in percent of capacity">
          <LineChart label="Fill" lines={lines} points={series.points} unit="%" height={160} />
        </Card>
      )}
      <WhyThrottled appId={appId} operations={operations} />
    </div>
  );
}

function enforced(status: Status): readonly Bucket[] {
  return present(status.application?.buckets.nodes).filter(({ mode }) => mode === "ENFORCE");
}

/** What counts operations comes first. */
const order: readonly Bucket["bucketType"][] = [
  ...(["IOPS_L2", "BANDWIDTH_L2", "IOPS_RESERVE", "BANDWIDTH_RESERVE"] as const),
];

function inOrder(buckets: readonly Bucket[]): readonly Bucket[] {
  return buckets.toSorted(
    (one, other) => order.indexOf(one.bucketType) - order.indexOf(other.bucketType),
  );
}

function shadows(status: Status): readonly Bucket[] {
  return present(status.application?.buckets.nodes).filter(({ mode }) => mode === "SHADOW");
}

function fillOf(buckets: readonly Bucket[], type: Bucket["bucketType"]): number | null {
  const bucket = buckets.find(({ bucketType }) => bucketType === type);
  if (bucket === undefined || !Number(bucket.capacity)) return null;
  return (Number(bucket.currentTokens) / Number(bucket.capacity)) * 100;
}

function Buckets({ buckets }: { readonly buckets: readonly Bucket[] }) {
  if (buckets.length === 0) {
    return (
      <Empty title="Nothing limits this application by itself">
        It has no bucket, because no quota of its own is in force. Publish one under Quota. A
        default quota of its cluster makes its bucket with the first operation.
      </Empty>
    );
  }
  return (
    <div className="bucket-grid">
      {inOrder(buckets).map((bucket) => (
        <BucketMeter key={bucket.bucketId} bucket={bucket} />
      ))}
    </div>
  );
}

function BucketMeter({ bucket }: { readonly bucket: Bucket }) {
  const unit = unitOf(bucket.bucketType);
  const tokens = Number(bucket.currentTokens);
  const capacity = Number(bucket.capacity);
  const isInDebt = Number(bucket.debt) > 0;
  return (
    <div className="bucket">
      <Meter
        label={`${bucketName(bucket.bucketType)} left`}
        value={tokens}
        max={capacity}
        tone={toneOf(tokens / capacity)}
        valueText={`${short(tokens, unit)} of ${short(capacity, unit)}`}
      >
        <div className="meter-head">
          <span>{bucketName(bucket.bucketType)}</span>
          <span className="quiet">{percent(tokens, capacity)}</span>
        </div>
        <p className="bucket-tokens">
          <Amount of={bucket.currentTokens} unit={unit} />
          <span className="quiet">
            of <Amount of={bucket.capacity} unit={unit} />
          </span>
        </p>
        <div className="meter-foot quiet small">
          <span>
            refills <Amount of={bucket.refillRate} unit={unit} per="/s" />
          </span>
          {isInDebt ? <Debt bucket={bucket} unit={unit} /> : <Full bucket={bucket} />}
        </div>
      </Meter>
    </div>
  );
}

function Debt({ bucket, unit }: { readonly bucket: Bucket; readonly unit: string }) {
  return (
    <span className="bad">
      owes <Amount of={bucket.debt} unit={unit} />
      {bucket.debtSeconds === null
        ? ", and nothing flows in"
        : `, paid in ${duration(Number(bucket.debtSeconds))}`}
    </span>
  );
}

function Full({ bucket }: { readonly bucket: Bucket }) {
  const missing = Number(bucket.capacity) - Number(bucket.currentTokens);
  if (missing <= 0) return <span>full</span>;
  return <span>full in {duration(missing / Number(bucket.refillRate))} if left alone</span>;
}

function Candidates({ buckets }: { readonly buckets: readonly Bucket[] }) {
  if (buckets.length === 0) return null;
  return (
    <Card
      title="Candidate"
      about="Buckets of the quota in shadow mode: they measure, and never deny"
      actions={<Badge tone="info">shadow</Badge>}
    >
      <Buckets buckets={buckets} />
    </Card>
  );
}
