import { short } from "../format/amount.ts";
import { Amount } from "../ui/amount.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Meter, toneOf } from "../ui/meter.tsx";
import type { TenantQuery } from "./tenant.operations.ts";

type Usage = NonNullable<NonNullable<TenantQuery["ceilingUsage"]>[number]>;
export type Cluster = NonNullable<NonNullable<TenantQuery["clusters"]>["nodes"][number]>;

interface Props {
  readonly usage: readonly Usage[];
  readonly clusters: readonly Cluster[];
  readonly onSet: (() => void) | undefined;
}

/** The most that quotas may come to together, and what is given out of it. */
export function Ceilings({ usage, clusters, onSet }: Props) {
  return (
    <Card
      title="Ceilings"
      about="The most that the quotas of all its applications may come to"
      actions={
        onSet && (
          <Button isSmall kind="primary" onClick={onSet}>
            Set a ceiling
          </Button>
        )
      }
    >
      {usage.length === 0 ? (
        <Empty title="Nothing bounds what this tenant gives its applications">
          With a ceiling its own people divide what the operator grants, and cannot publish more.
        </Empty>
      ) : (
        <div className="bucket-grid">
          {usage.map((each) => (
            <CeilingMeter
              key={`${each.ceilingId} ${each.kind}`}
              usage={each}
              place={clusters.find(({ clusterId }) => clusterId === each.clusterId)?.name}
            />
          ))}
        </div>
      )}
    </Card>
  );
}

interface MeterProps {
  readonly usage: Usage;
  readonly place: string | undefined;
}

function CeilingMeter({ usage, place }: MeterProps) {
  const unit = usage.kind === "BANDWIDTH" ? "B" : "";
  const most = Number(usage.maxLimit);
  const given = Number(usage.currentLimit);
  const peak = Number(usage.peakLimit);
  const label = usage.kind === "BANDWIDTH" ? "Bandwidth" : "Operations";
  const where = usage.clusterId === null ? "all clusters" : (place ?? "one cluster");
  return (
    <div className="bucket">
      <Meter
        label={`${label} given out, ${where}`}
        value={given}
        max={most}
        tone={toneOf(1 - given / most) === "good" ? "good" : "warn"}
        valueText={`${short(given, unit)} of ${short(most, unit)} a second`}
        mark={
          peak > given
            ? { at: peak / most, label: `${short(peak, unit)}/s at its peak` }
            : undefined
        }
      >
        <div className="meter-head">
          <span>{label}</span>
          <span className="quiet">{where}</span>
        </div>
        <p className="bucket-tokens">
          <Amount of={usage.currentLimit} unit={unit} per="/s" />
          <span className="quiet">
            of <Amount of={usage.maxLimit} unit={unit} per="/s" />
          </span>
        </p>
        <div className="meter-foot quiet small">
          <span>
            bursts up to <Amount of={usage.maxBurst} unit={unit} per="/s" />
          </span>
          <span>
            scheduled: at most <Amount of={usage.peakLimit} unit={unit} per="/s" />
          </span>
        </div>
      </Meter>
    </div>
  );
}
