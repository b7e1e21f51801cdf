import { ActionDialog } from "../ui/action.tsx";
import { TextField } from "../ui/field.tsx";
import { useTell } from "../ui/toasts.tsx";
import { LiftTenantSuspensionDocument, SuspendTenantDocument } from "./tenant.operations.ts";
import type { Suspension, Tenant } from "./tenant-page.tsx";

interface Props {
  readonly tenant: Tenant;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

export function SuspendDialog({ tenant, onClose, onDone }: Props) {
  const tell = useTell();
  return (
    <ActionDialog
      title={`Suspend ${tenant.name}`}
      about={`Requests of all ${tenant.applications.totalCount} applications of ${tenant.name} are refused. Its people can still sign in.`}
      verb="Suspend"
      kind="danger"
      document={SuspendTenantDocument}
      variables={({ reason = "", until = "" }) => ({
        input: {
          ...{ tenantId: tenant.tenantId, reason },
          ...(until && { until: new Date(until).toISOString() }),
        },
      })}
      onClose={onClose}
      onDone={() => {
        tell("Suspended", tenant.name);
        onDone();
      }}
    >
      <TextField label="Reason" name="reason" required hint="Callers of the tenant see it" />
      <TextField
        label="Until"
        name="until"
        type="datetime-local"
        hint="Empty: until it is lifted"
      />
    </ActionDialog>
  );
}

export function LiftDialog({
  tenant,
  suspension,
  onClose,
  onDone,
}: Props & { readonly suspension: Suspension }) {
  const tell = useTell();
  return (
    <ActionDialog
      title="Lift the suspension"
      about={`Requests of ${tenant.name} are decided again. It was suspended because: ${suspension.reason}`}
      verb="Lift it"
      document={LiftTenantSuspensionDocument}
      variables={({ reason = "" }) => ({
        input: { suspensionId: suspension.suspensionId, reason },
      })}
      onClose={onClose}
      onDone={() => {
        tell("Suspension lifted", tenant.name);
        onDone();
      }}
    >
      <TextField label="Reason" name="reason" required />
    </ActionDialog>
  );
}
