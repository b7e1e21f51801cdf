import { sentence } from "../format/words.ts";
import { ActionDialog } from "../ui/action.tsx";
import { ChoiceField, TextField } from "../ui/field.tsx";
import { useTell } from "../ui/toasts.tsx";
import {
  CreateServiceAccountDocument,
  InviteUserDocument,
  IssueServiceTokenDocument,
  MapGroupDocument,
  RevokeInvitationDocument,
  RevokeServiceTokenDocument,
  UnmapGroupDocument,
} from "./access.operations.ts";
import type { Secret, Step } from "./step.ts";

interface Props {
  readonly step: Step;
  readonly roles: readonly string[];
  readonly onClose: () => void;
  readonly onDone: (secret?: Secret) => void;
}

/** Asks for what a step needs, and names what it affects. */
export function AccessDialog({ step, roles, onClose, onDone }: Props) {
  const tell = useTell();
  const told = (title: string, about: string) => () => {
    tell(title, about);
    onDone();
  };
  const role = (
    <ChoiceField
      label="Role"
      name="role"
      choices={roles.map((name) => [name, sentence(name)] as const)}
    />
  );
  switch (step.is) {
    case "make an account":
      return (
        <ActionDialog
          {...{ title: "Make a service account", about: "It never signs in: give it a token." }}
          {...{ verb: "Make the account", document: CreateServiceAccountDocument, onClose }}
          variables={({ name = "", role: given = "" }) => ({ input: { name, roles: [given] } })}
          onDone={told("Account made", "Make a token of it next.")}
        >
          <TextField label="Name" name="name" required />
          {role}
        </ActionDialog>
      );
    case "make a token":
      return (
        <ActionDialog
          {...{ title: "Make a token", about: `Who has it may do what ${step.name} may.` }}
          {...{ verb: "Make the token", document: IssueServiceTokenDocument, onClose }}
          variables={({ name = "", until = "" }) => ({
            input: { userId: step.userId, name, expiresAt: new Date(until).toISOString() },
          })}
          onDone={({ issueServiceToken }) =>
            onDone({
              ...{ title: "The new token", copied: "Token copied" },
              secret: issueServiceToken?.token ?? "",
            })
          }
        >
          <TextField label="Name" name="name" required />
          <TextField label="Until" name="until" type="datetime-local" required />
        </ActionDialog>
      );
    case "invite":
      return (
        <ActionDialog
          {...{ title: "Invite", about: "Who is invited sets a password by a link." }}
          {...{ verb: "Make the invitation", document: InviteUserDocument, onClose }}
          variables={({ email = "", role: given = "" }) => ({ input: { email, roles: [given] } })}
          onDone={({ inviteUser }) =>
            onDone({
              ...{ title: "The invitation", copied: "Link copied" },
              secret: `${location.origin}/invitation#${inviteUser?.token ?? ""}`,
            })
          }
        >
          <TextField label="Address" name="email" type="email" required />
          {role}
        </ActionDialog>
      );
    case "map a group":
      return (
        <ActionDialog
          {...{ title: "Map a group", about: "From their next sign-in on, for your tenant." }}
          {...{ verb: "Map the group", document: MapGroupDocument, onClose }}
          variables={({ group = "", role: given = "" }) => ({
            input: { groupName: group, role: given },
          })}
          onDone={told("Group mapped", "Its people have the role with their next sign-in.")}
        >
          <TextField label="Group" name="group" hint="As the provider writes it" required />
          {role}
        </ActionDialog>
      );
    case "revoke a token":
      return (
        <ActionDialog
          {...{ title: "Revoke a token", about: `Programs with ${step.name} are out at once.` }}
          {...{ verb: "Revoke the token", kind: "danger", onClose }}
          document={RevokeServiceTokenDocument}
          variables={() => ({ input: { tokenId: step.id } })}
          onDone={told("Token revoked", step.name)}
        />
      );
    case "revoke an invitation":
      return (
        <ActionDialog
          {...{ title: "Revoke an invitation", about: `The link of ${step.name} stops working.` }}
          {...{ verb: "Revoke the invitation", kind: "danger", onClose }}
          document={RevokeInvitationDocument}
          variables={() => ({ input: { invitationId: step.id } })}
          onDone={told("Invitation revoked", step.name)}
        />
      );
    case "end a mapping":
      return (
        <ActionDialog
          {...{
            title: "End a mapping",
            about: `The people of ${step.name} lose the role at once.`,
          }}
          {...{ verb: "End the mapping", kind: "danger", document: UnmapGroupDocument, onClose }}
          variables={() => ({ input: { mappingId: step.id } })}
          onDone={told("Mapping ended", step.name)}
        />
      );
  }
}
