import { type CSSProperties, useState } from "react";
import { useApplicationNames } from "../applications/application-names.ts";
import { bytesOf, bytesText, percent, short } from "../format/amount.ts";
import type { ClusterBucket } from "../overview/rates.ts";
import { present } from "../overview/rates.ts";
import { useMay } from "../session/viewer.tsx";
import { ActionDialog } from "../ui/action.tsx";
import { Amount } from "../ui/amount.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { ChoiceField, TextField } from "../ui/field.tsx";
import { useTell } from "../ui/toasts.tsx";
import {
  type ClusterQuery,
  RemoveReservationDocument,
  SetReservationDocument,
} from "./cluster.operations.ts";

type Cluster = NonNullable<ClusterQuery["cluster"]>;
type Reservation = NonNullable<Cluster["reservations"]["nodes"][number]>;
type Step =
  | { readonly is: "set"; readonly reservation?: Reservation }
  | { readonly is: "remove"; readonly reservation: Reservation };

interface Props {
  readonly cluster: Cluster;
  readonly buckets: readonly ClusterBucket[];
  readonly onChange: () => void;
}

/** Nine tenths of a refill can be promised. */
const promisable = 0.9;

export function Reservations({ cluster, buckets, onChange }: Props) {
  const maySet = useMay("system:configure");
  const [step, setStep] = useState<Step>();
  const reservations = present(cluster.reservations.nodes);
  const done = () => {
    setStep(undefined);
    onChange();
  };
  return (
    <Card
      title="Reservations"
      about="Rates that applications get whatever the others do"
      actions={
        maySet && (
          <Button isSmall onClick={() => setStep({ is: "set" })}>
            Reserve
          </Button>
        )
      }
    >
      {reservations.length === 0 ? (
        <Empty title="Nothing is reserved">
          All applications draw on the whole refill. A reservation sets a part of it aside for one
          of them: at most nine tenths in all.
        </Empty>
      ) : (
        <div className="stack">
          {buckets.map((bucket) => (
            <Stack key={bucket.bucketType} bucket={bucket} reservations={reservations} />
          ))}
          <ul className="list list-inset">
            {reservations.map((reservation, index) => (
              <Row
                key={reservation.appId}
                reservation={reservation}
                color={colorOf(index)}
                onStep={maySet ? setStep : undefined}
              />
            ))}
          </ul>
        </div>
      )}
      {step?.is === "set" && (
        <SetDialog
          {...{ cluster, buckets, reservations }}
          reservation={step.reservation}
          onClose={() => setStep(undefined)}
          onDone={done}
        />
      )}
      {step?.is === "remove" && (
        <RemoveDialog
          reservation={step.reservation}
          onClose={() => setStep(undefined)}
          onDone={done}
        />
      )}
    </Card>
  );
}

const colors = ["--chart-1", "--chart-2", "--chart-3", "--chart-4", "--chart-5"] as const;

function colorOf(index: number): string {
  return `var(${colors[index % colors.length]})`;
}

function reservedOf(reservation: Reservation, bucket: ClusterBucket): number {
  const isIops = bucket.bucketType === "IOPS_L1";
  return Number((isIops ? reservation.reservedIops : reservation.reservedBps) ?? 0);
}

function Stack({
  bucket,
  reservations,
}: {
  readonly bucket: ClusterBucket;
  readonly reservations: readonly Reservation[];
}) {
  const isIops = bucket.bucketType === "IOPS_L1";
  const unit = isIops ? "" : "B";
  const refill = Number(bucket.refillRate);
  const sum = reservations.reduce((total, each) => total + reservedOf(each, bucket), 0);
  const left = Math.max(refill * promisable - sum, 0);
  const words = `${short(sum, unit)}/s of ${short(refill, unit)}/s reserved, ${short(left, unit)}/s more can be`;
  return (
    <div className="stacked">
      <div className="meter-head">
        <span>{isIops ? "Operations" : "Bandwidth"}</span>
        <span className="quiet">{percent(sum, refill)} of the refill</span>
      </div>
      <div className="stacked-bar" role="img" aria-label={words}>
        {reservations.map((each, index) => (
          <i
            key={each.appId}
            title={`${each.application?.name}: ${short(reservedOf(each, bucket), unit)}/s`}
            style={
              {
                "--share": `${(reservedOf(each, bucket) / refill) * 100}%`,
                background: colorOf(index),
              } as CSSProperties
            }
          />
        ))}
        <span className="stacked-bound" title="Nine tenths: more cannot be reserved" />
      </div>
      <p className="quiet small">
        {short(sum, unit)}/s reserved + {short(left, unit)}/s that still can be + one tenth for all
        = {short(refill, unit)}/s
      </p>
    </div>
  );
}

interface RowProps {
  readonly reservation: Reservation;
  readonly color: string;
  readonly onStep: ((step: Step) => void) | undefined;
}

function Row({ reservation, color, onStep }: RowProps) {
  const name = reservation.application?.name ?? "Application";
  return (
    <li className="list-item">
      <i className="swatch" style={{ background: color }} />
      <span className="strong grow">{name}</span>
      <span>
        {reservation.reservedIops && <Amount of={reservation.reservedIops} per="/s" />}
        {reservation.reservedIops && reservation.reservedBps && <span className="quiet"> · </span>}
        {reservation.reservedBps && <Amount of={reservation.reservedBps} unit="B" per="/s" />}
      </span>
      {onStep && (
        <span className="row">
          <Button
            isSmall
            onClick={() => onStep({ is: "set", reservation })}
            aria-label={`Change what is reserved for ${name}`}
          >
            Change
          </Button>
          <Button
            isSmall
            kind="quiet"
            onClick={() => onStep({ is: "remove", reservation })}
            aria-label={`Remove the reservation of ${name}`}
          >
            Remove
          </Button>
        </span>
      )}
    </li>
  );
}

interface DialogProps {
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function SetDialog({
  cluster,
  buckets,
  reservation,
  reservations,
  onClose,
  onDone,
}: DialogProps &
  Omit<Props, "onChange"> & {
    readonly reservation: Reservation | undefined;
    readonly reservations: readonly Reservation[];
  }) {
  const tell = useTell();
  const { applications } = useApplicationNames();
  const choices = applications
    .filter(({ clusterId }) => clusterId === cluster.clusterId)
    .map(({ appId, name }) => [appId, name] as const);
  const name = reservation?.application?.name;
  return (
    <ActionDialog
      title={name ? `Change the reservation of ${name}` : "Reserve a rate"}
      about={`Out of the refill of ${cluster.name}. What the others can take shrinks by as much.`}
      verb="Reserve"
      document={SetReservationDocument}
      variables={({ app = "", iops = "", bytes = "", reason = "" }) => ({
        input: {
          appId: reservation?.appId ?? app,
          reason,
          ...(iops && { reservedIops: iops.replace(/[\s,_]/g, "") }),
          ...(bytes && { reservedBps: String(bytesOf(bytes) ?? bytes) }),
        },
      })}
      onClose={onClose}
      onDone={({ setReservation }) => {
        const unpaid = setReservation?.unpaidOperations ?? [];
        const note = unpaid.length > 0 ? `Too small for ${unpaid.join(", ")}` : undefined;
        tell("Reserved", note);
        onDone();
      }}
    >
      {!reservation && <ChoiceField label="Application" name="app" choices={choices} />}
      <div className="fields">
        <TextField
          label="Operations"
          name="iops"
          suffix="tokens/s"
          defaultValue={reservation?.reservedIops ?? ""}
          hint={roomOf("IOPS_L1", buckets, reservations, reservation)}
        />
        <TextField
          label="Bandwidth"
          name="bytes"
          suffix="per second"
          placeholder="20 MB"
          defaultValue={reservation?.reservedBps ? bytesText(reservation.reservedBps) : ""}
          hint={roomOf("BANDWIDTH_L1", buckets, reservations, reservation)}
        />
      </div>
      <TextField label="Reason" name="reason" required autoComplete="off" />
    </ActionDialog>
  );
}

/** The arithmetic: nine tenths of the refill, less what the others have. */
function roomOf(
  type: "IOPS_L1" | "BANDWIDTH_L1",
  buckets: readonly ClusterBucket[],
  reservations: readonly Reservation[],
  own: Reservation | undefined,
): string | undefined {
  const bucket = buckets.find(({ bucketType }) => bucketType === type);
  if (bucket === undefined) return "The cluster has no such quota";
  const unit = type === "IOPS_L1" ? "" : "B";
  const most = Number(bucket.refillRate) * promisable;
  const others = reservations
    .filter(({ appId }) => appId !== own?.appId)
    .reduce((total, each) => total + reservedOf(each, bucket), 0);
  return `At most ${short(most - others, unit)}/s: ${short(most, unit)}/s − ${short(others, unit)}/s of others`;
}

function RemoveDialog({
  reservation,
  onClose,
  onDone,
}: DialogProps & { readonly reservation: Reservation }) {
  const tell = useTell();
  const name = reservation.application?.name ?? "the application";
  return (
    <ActionDialog
      title="Remove the reservation"
      about={`${name} shares the refill with the others from now on, and may have to wait for them.`}
      verb="Remove the reservation"
      kind="danger"
      document={RemoveReservationDocument}
      variables={({ reason = "" }) => ({ input: { appId: reservation.appId, reason } })}
      onClose={onClose}
      onDone={() => {
        tell("Reservation removed", name);
        onDone();
      }}
    >
      <TextField label="Reason" name="reason" required autoComplete="off" />
    </ActionDialog>
  );
}
