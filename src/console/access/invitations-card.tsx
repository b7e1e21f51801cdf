import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Moment } from "../ui/moment.tsx";
import { Table } from "../ui/table.tsx";
import type { AccessQuery } from "./access.operations.ts";
import type { Step } from "./step.ts";

type Invitation = NonNullable<NonNullable<AccessQuery["invitations"]>["nodes"][number]>;

export function InvitationsCard({
  invitations,
  onStep,
}: {
  readonly invitations: readonly Invitation[];
  readonly onStep: (step: Step) => void;
}) {
  return (
    <Card
      title="Invitations"
      about="Links by which people set their own password."
      actions={
        <Button isSmall kind="primary" onClick={() => onStep({ is: "invite" })}>
          Invite
        </Button>
      }
      isFlush
    >
      {invitations.length === 0 ? (
        <Empty title="No invitation yet">Invite people in place of giving them a password.</Empty>
      ) : (
        <Table columns={["Who", "State", "Works until"]} hasActions>
          {invitations.map((invitation) => {
            const state = stateOf(invitation);
            const name = invitation.user?.email ?? "";
            const id = invitation.invitationId ?? "";
            return (
              <tr key={id}>
                <th scope="row">{name}</th>
                <td>
                  <Badge tone={state === "open" ? "info" : "neutral"}>{state}</Badge>
                </td>
                <td>{invitation.expiresAt && <Moment at={invitation.expiresAt} />}</td>
                <td className="right">
                  {state === "open" && (
                    <Button
                      isSmall
                      kind="quiet"
                      onClick={() => onStep({ is: "revoke an invitation", id, name })}
                      aria-label={`Revoke the invitation of ${name}`}
                    >
                      Revoke
                    </Button>
                  )}
                </td>
              </tr>
            );
          })}
        </Table>
      )}
    </Card>
  );
}

function stateOf({ acceptedAt, revokedAt, expiresAt }: Invitation): string {
  if (acceptedAt) return "accepted";
  if (revokedAt) return "revoked";
  return Date.parse(expiresAt ?? "") > Date.now() ? "open" : "expired";
}
