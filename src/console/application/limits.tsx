import type { ReactNode } from "react";
import { duration } from "../format/time.ts";
import { sentence } from "../format/words.ts";
import { Amount } from "../ui/amount.tsx";
import type { Quota } from "./quotas.ts";

/** What a quota allows, in words that need no manual. */
export function Limits({ quota }: { readonly quota: Quota }) {
  const { iopsQuota: iops, bandwidthQuota: bandwidth } = quota;
  return (
    <div className="limits">
      {iops ? (
        <section>
          <h3>Operations</h3>
          <dl className="facts facts-3">
            <Fact label="Sustained">
              <Amount of={iops.iopsLimit} per="/s" />
            </Fact>
            <Fact label="Burst">
              <Amount of={iops.iopsBurst} per="/s" />
            </Fact>
            <Fact label="For">{duration(iops.burstDurationSeconds)}</Fact>
          </dl>
          <p className="quiet small">
            {sentence(iops.calculationMethod)}, refills <Amount of={iops.refillRate} per="/s" />
            {iops.minReserve > 0 && (
              <>
                , keeps <Amount of={iops.minReserve} />
              </>
            )}
          </p>
        </section>
      ) : (
        <NoLimit of="Operations" />
      )}
      {bandwidth ? (
        <section>
          <h3>Bandwidth</h3>
          <dl className="facts facts-3">
            <Fact label="Sustained">
              <Amount of={bandwidth.bandwidthLimitBps} unit="B" per="/s" />
            </Fact>
            <Fact label="Burst">
              <Amount of={bandwidth.bandwidthBurstBps} unit="B" per="/s" />
            </Fact>
            <Fact label="For">{duration(bandwidth.burstDurationSeconds)}</Fact>
          </dl>
          <p className="quiet small">
            Refills <Amount of={bandwidth.refillRateBps} unit="B" per="/s" />
            {bandwidth.allowOversize
              ? ", lets an operation through that is larger than the bucket"
              : ", refuses what is larger than the bucket"}
          </p>
        </section>
      ) : (
        <NoLimit of="Bandwidth" />
      )}
    </div>
  );
}

function NoLimit({ of }: { readonly of: string }) {
  return (
    <section>
      <h3>{of}</h3>
      <p className="quiet">Not limited by this quota.</p>
    </section>
  );
}

function Fact({ label, children }: { readonly label: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}
