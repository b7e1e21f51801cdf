import type { CSSProperties } from "react";
import { short } from "../format/amount.ts";
import { localMoment } from "../format/time.ts";
import { Badge, type Tone } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Moment } from "../ui/moment.tsx";
import { type Quota, type State, stateOf } from "./quotas.ts";

const tones: Readonly<Record<State, Tone>> = {
  ...{ past: "neutral", "in force": "good", scheduled: "info" },
};

interface Props {
  readonly quotas: readonly Quota[];
  readonly onCancel: ((quota: Quota) => void) | undefined;
}

export function Timeline({ quotas, onCancel }: Props) {
  const scale = scaleOf(quotas);
  const live = quotas.filter(({ mode }) => mode === "ENFORCE");
  return (
    <div className="stack">
      <div className="strip" aria-hidden="true">
        {live.map((quota) => (
          <i
            key={quota.configId}
            className={`strip-part strip-${stateOf(quota).replace(" ", "-")}`}
            style={placeOf(quota, scale)}
            title={`${wordsOf(quota)}\n${localMoment(quota.validFrom)}`}
          />
        ))}
        <i className="strip-now" style={{ "--from": share(Date.now(), scale) } as CSSProperties} />
      </div>
      <ol className="timeline">
        {quotas.map((quota) => (
          <li key={quota.configId} className="timeline-item">
            <span className="timeline-state">
              <Badge tone={tones[stateOf(quota)]}>{stateOf(quota)}</Badge>
              {quota.mode === "SHADOW" && <Badge tone="info">shadow</Badge>}
            </span>
            <div className="grow">
              <span className="strong number">{wordsOf(quota)}</span>
              <p className="quiet small">
                <Moment at={quota.validFrom} />
                {quota.validTo ? (
                  <>
                    {" – "}
                    <Moment at={quota.validTo} />
                  </>
                ) : (
                  " – until it is changed"
                )}
              </p>
            </div>
            {onCancel && stateOf(quota) === "scheduled" && (
              <Button isSmall onClick={() => onCancel(quota)}>
                Cancel
              </Button>
            )}
          </li>
        ))}
      </ol>
    </div>
  );
}

export function wordsOf({ iopsQuota, bandwidthQuota }: Quota): string {
  const parts = [
    iopsQuota && `${short(iopsQuota.iopsLimit)}/s, bursts of ${short(iopsQuota.iopsBurst)}/s`,
    bandwidthQuota &&
      `${short(bandwidthQuota.bandwidthLimitBps, "B")}/s, bursts of ${short(bandwidthQuota.bandwidthBurstBps, "B")}/s`,
  ];
  return parts.filter(Boolean).join(" · ") || "no limit";
}

interface Scale {
  readonly from: number;
  readonly to: number;
}

/** From the first quota to a while after the last change. */
function scaleOf(quotas: readonly Quota[]): Scale {
  const moments = quotas.flatMap(({ validFrom, validTo }) => [
    Date.parse(validFrom),
    ...(validTo ? [Date.parse(validTo)] : []),
  ]);
  const from = Math.min(...moments);
  const to = Math.max(...moments, Date.now());
  return { from, to: to + Math.max((to - from) * 0.15, 60_000) };
}

function share(moment: number, { from, to }: Scale): string {
  return `${((Math.min(moment, to) - from) / (to - from)) * 100}%`;
}

function placeOf({ validFrom, validTo }: Quota, scale: Scale): CSSProperties {
  const end = validTo === null ? scale.to : Date.parse(validTo);
  return {
    "--from": share(Date.parse(validFrom), scale),
    "--to": share(end, scale),
  } as CSSProperties;
}
