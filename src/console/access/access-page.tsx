import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { present } from "../overview/rates.ts";
import { Loading } from "../ui/loading.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { SecretDialog } from "../ui/secret-dialog.tsx";
import { AccessDocument } from "./access.operations.ts";
import { AccessDialog } from "./access-dialog.tsx";
import { AccountsCard } from "./accounts-card.tsx";
import { GroupsCard } from "./groups-card.tsx";
import { InvitationsCard } from "./invitations-card.tsx";
import type { Secret, Step } from "./step.ts";

export default function AccessPage() {
  const [{ data, error }, again] = useQuery({
    ...{ query: AccessDocument, requestPolicy: "cache-and-network" },
  });
  const [step, setStep] = useState<Step>();
  const [secret, setSecret] = useState<Secret>();
  const problem = problemOfAnswer(error);
  const roles = present(data?.roles?.nodes).map(({ name }) => name);
  const done = (shown?: Secret) => {
    setStep(undefined);
    setSecret(shown);
    again({ requestPolicy: "network-only" });
  };
  return (
    <Page title="Access" about="Programs and groups that come in, and people who are invited.">
      {problem && <ProblemNote problem={problem} />}
      {!data && !problem && <Loading />}
      {data && (
        <>
          <AccountsCard accounts={present(data.users?.nodes)} onStep={setStep} />
          <InvitationsCard invitations={present(data.invitations?.nodes)} onStep={setStep} />
          <GroupsCard groups={present(data.roleMappings?.nodes)} onStep={setStep} />
        </>
      )}
      {step && (
        <AccessDialog {...{ step, roles }} onClose={() => setStep(undefined)} onDone={done} />
      )}
      {secret && <SecretDialog {...secret} onClose={() => setSecret(undefined)} />}
    </Page>
  );
}
