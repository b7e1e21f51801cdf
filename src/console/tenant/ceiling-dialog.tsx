import { bytesOf } from "../format/amount.ts";
import { ActionDialog } from "../ui/action.tsx";
import { ChoiceField, TextField } from "../ui/field.tsx";
import { useTell } from "../ui/toasts.tsx";
import type { Cluster } from "./ceilings.tsx";
import { SetCeilingDocument } from "./tenant.operations.ts";
import type { Tenant } from "./tenant-page.tsx";

interface Props {
  readonly tenant: Tenant;
  readonly clusters: readonly Cluster[];
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function CeilingDialog({ tenant, clusters, onClose, onDone }: Props) {
  const tell = useTell();
  return (
    <ActionDialog
      title={`A ceiling for ${tenant.name}`}
      about="Refused where the quotas that stand, or are scheduled, already come to more."
      verb="Set the ceiling"
      document={SetCeilingDocument}
      variables={(given) => ({ input: { tenantId: tenant.tenantId, ...inputOf(given) } })}
      onClose={onClose}
      onDone={() => {
        tell("Ceiling set", tenant.name);
        onDone();
      }}
    >
      <ChoiceField
        label="For"
        name="clusterId"
        choices={[
          ["", "all clusters together"],
          ...clusters.map(({ clusterId, name }) => [clusterId, name] as const),
        ]}
      />
      <div className="fields">
        <TextField
          label="Operations"
          name="iops"
          suffix="tokens/s"
          inputMode="numeric"
          hint="Empty: as it is"
        />
        <TextField
          label="Bandwidth"
          name="bandwidth"
          suffix="per second"
          placeholder="200 MB"
          hint="Empty: as it is"
        />
      </div>
      <TextField label="Reason" name="reason" required hint="Kept in the audit" />
    </ActionDialog>
  );
}

function inputOf({ clusterId = "", iops = "", bandwidth = "", reason = "" }) {
  return {
    ...(clusterId && { clusterId }),
    ...(iops && { iops: { maxLimit: iops } }),
    ...(bandwidth && { bandwidth: { maxLimit: String(bytesOf(bandwidth) ?? bandwidth) } }),
    reason,
  };
}
