import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { sentence } from "../format/words.ts";
import { present } from "../overview/rates.ts";
import { useViewer } from "../session/viewer.tsx";
import { ActionDialog } from "../ui/action.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { ChoiceField, TextField } from "../ui/field.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { Table } from "../ui/table.tsx";
import { useTell } from "../ui/toasts.tsx";
import {
  AssignRoleDocument,
  ExpireRoleDocument,
  PeopleDocument,
  type PeopleQuery,
} from "./people.operations.ts";
import { SessionsDialog } from "./sessions-dialog.tsx";

type Person = NonNullable<NonNullable<PeopleQuery["users"]>["nodes"][number]>;
type Held = NonNullable<Person["userRoles"]["nodes"][number]>;
type Step =
  | { readonly is: "sessions"; readonly person: Person }
  | { readonly is: "give"; readonly person: Person }
  | { readonly is: "take"; readonly person: Person; readonly role: string };

export default function PeoplePage() {
  const [{ data, error }, again] = useQuery({ query: PeopleDocument });
  const [step, setStep] = useState<Step>();
  const problem = problemOfAnswer(error);
  const done = () => {
    setStep(undefined);
    again({ requestPolicy: "network-only" });
  };
  return (
    <Page
      title="People"
      about="Who may sign in, and what they may do."
      actions={<Link to="/access">Invitations, service accounts, groups</Link>}
    >
      <Card title="Users" isFlush>
        {problem && <ProblemNote problem={problem} />}
        {!data && !problem && <Loading />}
        {data && <PeopleTable people={present(data.users?.nodes)} onStep={setStep} />}
      </Card>
      {step?.is === "sessions" && (
        <SessionsDialog
          userId={step.person.userId}
          name={step.person.email ?? step.person.username}
          onClose={() => setStep(undefined)}
        />
      )}
      {step?.is === "give" && (
        <GiveDialog
          person={step.person}
          roles={present(data?.roles?.nodes).map(({ name }) => name)}
          onClose={() => setStep(undefined)}
          onDone={done}
        />
      )}
      {step?.is === "take" && (
        <TakeDialog {...step} onClose={() => setStep(undefined)} onDone={done} />
      )}
    </Page>
  );
}

interface TableProps {
  readonly people: readonly Person[];
  readonly onStep: (step: Step) => void;
}

function PeopleTable({ people, onStep }: TableProps) {
  const { user } = useViewer();
  return (
    <Table columns={["User", "Tenant", "Roles", "Last sign-in"]} hasActions>
      {people.map((person) => (
        <tr key={person.userId}>
          <th scope="row">
            <span className="strong">{person.username}</span>
            {!person.isActive && <Badge tone="bad">inactive</Badge>}
            <div className="quiet small">{person.email ?? "service account"}</div>
          </th>
          <td>{person.tenant?.name}</td>
          <td className="wraps">
            <span className="row">
              {present(person.userRoles.nodes)
                .filter(lasts)
                .map((held) => (
                  <Role key={held.userRoleId} held={held} />
                ))}
            </span>
          </td>
          <td>
            {person.lastLoginAt ? (
              <Moment at={person.lastLoginAt} isRelative />
            ) : (
              <span className="quiet">never</span>
            )}
          </td>
          <td className="right">
            {person.userId !== user.userId && <PersonActions person={person} onStep={onStep} />}
          </td>
        </tr>
      ))}
    </Table>
  );
}

/** Service accounts have no address. */
function nameOf({ email, username }: Person): string {
  return email ?? username;
}

function lasts({ expiresAt }: Held): boolean {
  return expiresAt === null || Date.parse(expiresAt) > Date.now();
}

function Role({ held }: { readonly held: Held }) {
  return (
    <Badge tone="info">
      {sentence(held.role?.name ?? "")}
      {held.expiresAt && (
        <span>
          until <Moment at={held.expiresAt} />
        </span>
      )}
    </Badge>
  );
}

function PersonActions({
  person,
  onStep,
}: {
  readonly person: Person;
  readonly onStep: TableProps["onStep"];
}) {
  const held = present(person.userRoles.nodes).filter(lasts);
  return (
    <span className="row row-end">
      <Button
        isSmall
        kind="quiet"
        onClick={() => onStep({ is: "sessions", person })}
        aria-label={`Sessions of ${person.username}`}
      >
        Sessions
      </Button>
      <Button
        isSmall
        onClick={() => onStep({ is: "give", person })}
        aria-label={`Give a role to ${person.username}`}
      >
        Give a role
      </Button>
      {held[0]?.role && (
        <Button
          isSmall
          kind="quiet"
          onClick={() => onStep({ is: "take", person, role: held[0]?.role?.name ?? "" })}
          aria-label={`Take one of the roles of ${person.username}`}
        >
          Take one
        </Button>
      )}
    </span>
  );
}

interface DialogProps {
  readonly person: Person;
  readonly onClose: () => void;
  readonly onDone: () => void;
}

function GiveDialog({
  person,
  roles,
  onClose,
  onDone,
}: DialogProps & { readonly roles: readonly string[] }) {
  const tell = useTell();
  return (
    <ActionDialog
      title="Give a role"
      about={`${nameOf(person)} may do what the role allows from now on.`}
      verb="Give the role"
      document={AssignRoleDocument}
      variables={({ role = "", until = "" }) => ({
        input: {
          ...{ userId: person.userId, role },
          ...(until && { expiresAt: new Date(until).toISOString() }),
        },
      })}
      onClose={onClose}
      onDone={() => {
        tell("Role given", nameOf(person));
        onDone();
      }}
    >
      <ChoiceField
        label="Role"
        name="role"
        choices={roles.map((name) => [name, sentence(name)] as const)}
      />
      <TextField label="Until" name="until" type="datetime-local" hint="Empty: for good" />
    </ActionDialog>
  );
}

function TakeDialog({ person, role, onClose, onDone }: DialogProps & { readonly role: string }) {
  const tell = useTell();
  const held = present(person.userRoles.nodes).filter(lasts);
  return (
    <ActionDialog
      title="Take a role"
      about={`The sessions of ${nameOf(person)} end, and what the role allows ends with it.`}
      verb="Take the role"
      kind="danger"
      document={ExpireRoleDocument}
      variables={(given) => ({ input: { userId: person.userId, role: given.role ?? role } })}
      onClose={onClose}
      onDone={() => {
        tell("Role taken", nameOf(person));
        onDone();
      }}
    >
      <ChoiceField
        label="Role"
        name="role"
        defaultValue={role}
        choices={held.map(
          (each) => [each.role?.name ?? "", sentence(each.role?.name ?? "")] as const,
        )}
      />
    </ActionDialog>
  );
}
