import { Link } from "@tanstack/react-router";
import { percent, short } from "../format/amount.ts";
import { duration } from "../format/time.ts";
import { bucketName, unitOf } from "../format/words.ts";
import { useMay } from "../session/viewer.tsx";
import { Amount } from "../ui/amount.tsx";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Meter, toneOf } from "../ui/meter.tsx";
import type { ClusterHealth } from "./overview.operations.ts";
import {
  type ClusterBucket,
  type ClusterFact,
  clusterTotals,
  type Totals,
  type UsageRow,
} from "./rates.ts";

interface Props {
  readonly clusters: readonly ClusterFact[] | undefined;
  readonly buckets: readonly ClusterBucket[];
  readonly usage: readonly UsageRow[];
}

export function ClusterCards({ clusters, buckets, usage }: Props) {
  if (clusters === undefined) return <Loading label="Loading clusters" />;
  if (clusters.length === 0) {
    return (
      <Card title="Clusters">
        <Empty title="You see no cluster yet">
          A cluster is the storage that applications share. A system administrator creates it, and
          places your first application on it.
        </Empty>
      </Card>
    );
  }
  const totals = clusterTotals(usage);
  return (
    <div className="cluster-grid">
      {clusters.toSorted(byName).map((cluster) => (
        <article className="card cluster-card" key={cluster.clusterId}>
          <header className="card-head">
            <div>
              <h2>
                <Link to="/clusters/$clusterId" params={{ clusterId: cluster.clusterId }}>
                  {cluster.name}
                </Link>
              </h2>
              <p className="quiet small">{cluster.region}</p>
            </div>
            <Health status={cluster.isActive ? cluster.healthStatus : "INACTIVE"} />
          </header>
          <div className="card-body stack">
            <Rates totals={totals.get(cluster.clusterId)} />
            <Meters buckets={buckets.filter(({ clusterId }) => clusterId === cluster.clusterId)} />
          </div>
        </article>
      ))}
    </div>
  );
}

function byName(one: ClusterFact, other: ClusterFact): number {
  return one.name.localeCompare(other.name);
}

function Meters({ buckets }: { readonly buckets: readonly ClusterBucket[] }) {
  const maySee = useMay("system:configure");
  if (buckets.length === 0 && maySee) {
    return (
      <p className="quiet small">
        It has no quota: only those of its applications limit what they take together.
      </p>
    );
  }
  return (
    <div className="cluster-meters">
      {buckets.map((bucket) => (
        <ClusterMeter key={bucket.bucketType} bucket={bucket} />
      ))}
    </div>
  );
}

function Rates({ totals }: { readonly totals: Totals | undefined }) {
  return (
    <dl className="facts facts-3">
      <div>
        <dt>Tokens</dt>
        <dd>
          <Amount of={totals?.tokens ?? 0} per="/s" />
        </dd>
      </div>
      <div>
        <dt>Bandwidth</dt>
        <dd>
          <Amount of={totals?.bytes ?? 0} unit="B" per="/s" />
        </dd>
      </div>
      <div>
        <dt>Denied</dt>
        <dd className={totals?.denied ? "bad" : undefined}>
          <Amount of={totals?.denied ?? 0} per="/s" />
        </dd>
      </div>
    </dl>
  );
}

/** What a layer-1 bucket holds; the mark shows how much of its refill is promised. */
export function ClusterMeter({ bucket }: { readonly bucket: ClusterBucket }) {
  const unit = unitOf(bucket.bucketType);
  const tokens = Number(bucket.tokens);
  const capacity = Number(bucket.capacity);
  const refill = Number(bucket.refillRate);
  const reserved = Number(bucket.reserved);
  const name = bucketName(bucket.bucketType).replace(" of the cluster", "");
  const promised =
    reserved > 0 ? `${percent(reserved, refill)} of the refill is reserved` : "nothing is reserved";
  return (
    <Meter
      label={`${name} left`}
      value={tokens}
      max={capacity}
      tone={toneOf(tokens / capacity)}
      valueText={`${short(tokens, unit)} of ${short(capacity, unit)}`}
    >
      <div className="meter-head">
        <span>{name}</span>
        <span>
          <Amount of={bucket.tokens} unit={unit} />
          <span className="quiet"> of </span>
          <Amount of={bucket.capacity} unit={unit} />
        </span>
      </div>
      <div className="meter-foot quiet small">
        <span>
          refills <Amount of={bucket.refillRate} unit={unit} per="/s" />
        </span>
        {Number(bucket.debt) > 0 ? (
          <span className="bad">
            in debt
            {bucket.debtSeconds !== null && `, paid in ${duration(Number(bucket.debtSeconds))}`}
          </span>
        ) : (
          <span>{promised}</span>
        )}
      </div>
    </Meter>
  );
}

const tones: Readonly<Record<string, Tone>> = {
  ...{ HEALTHY: "good", DEGRADED: "warn", UNHEALTHY: "bad", UNKNOWN: "neutral" },
};

export function Health({ status }: { readonly status: ClusterHealth | "INACTIVE" }) {
  const label = status === "UNKNOWN" ? "not probed" : status.toLowerCase();
  return <Badge tone={tones[status] ?? "neutral"}>{label}</Badge>;
}
