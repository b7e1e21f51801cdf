import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { useQuery } from "urql";
import { problemOfAnswer } from "../api/problem.ts";
import { present } from "../overview/rates.ts";
import { useMay } from "../session/viewer.tsx";
import { NotFound } from "../shell/shell.tsx";
import { Badge } from "../ui/badge.tsx";
import { Button } from "../ui/button.tsx";
import { Card } from "../ui/card.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { Table } from "../ui/table.tsx";
import { CeilingDialog } from "./ceiling-dialog.tsx";
import { Ceilings } from "./ceilings.tsx";
import { LiftDialog, SuspendDialog } from "./suspend-dialogs.tsx";
import { TenantDocument, type TenantQuery } from "./tenant.operations.ts";

export type Tenant = NonNullable<TenantQuery["tenant"]>;
export type Suspension = NonNullable<Tenant["suspensions"]["nodes"][number]>;
type Step =
  | { readonly is: "ceiling" }
  | { readonly is: "suspend" }
  | { readonly is: "lift"; readonly suspension: Suspension };

export default function TenantPage() {
  const { tenantId } = useParams({ from: "/tenants/$tenantId" });
  const maySet = useMay("system:configure");
  const [{ data, error }, again] = useQuery({ query: TenantDocument, variables: { tenantId } });
  const [step, setStep] = useState<Step>();
  const problem = problemOfAnswer(error);
  if (data === undefined) return problem ? <ProblemNote problem={problem} /> : <Loading />;
  const { tenant } = data;
  if (tenant === null) return <NotFound />;

  const suspension = present(tenant.suspensions.nodes).find(lasts);
  const close = () => setStep(undefined);
  const done = () => {
    close();
    again({ requestPolicy: "network-only" });
  };
  return (
    <Page
      title={tenant.name}
      about={<About {...{ tenant, suspension }} />}
      actions={
        maySet &&
        (suspension ? (
          <Button onClick={() => setStep({ is: "lift", suspension })}>Lift the suspension</Button>
        ) : (
          <Button kind="danger" onClick={() => setStep({ is: "suspend" })}>
            Suspend
          </Button>
        ))
      }
    >
      <div className="stack">
        <Ceilings
          usage={present(data.ceilingUsage)}
          clusters={present(data.clusters?.nodes)}
          onSet={maySet ? () => setStep({ is: "ceiling" }) : undefined}
        />
        <Applications tenant={tenant} />
      </div>
      {step?.is === "ceiling" && (
        <CeilingDialog
          tenant={tenant}
          clusters={present(data.clusters?.nodes)}
          onClose={close}
          onDone={done}
        />
      )}
      {step?.is === "suspend" && <SuspendDialog tenant={tenant} onClose={close} onDone={done} />}
      {step?.is === "lift" && (
        <LiftDialog {...{ tenant, suspension: step.suspension }} onClose={close} onDone={done} />
      )}
    </Page>
  );
}

function lasts({ liftedAt, suspendedUntil }: Suspension): boolean {
  if (liftedAt !== null) return false;
  return isEndless(suspendedUntil) || Date.parse(suspendedUntil ?? "") > Date.now();
}

function isEndless(until: string | null): boolean {
  return until === null || until === "infinity";
}

function About({ tenant, suspension }: { tenant: Tenant; suspension: Suspension | undefined }) {
  return (
    <span className="row">
      {tenant.description && <span>{tenant.description}</span>}
      {!tenant.isActive && <Badge tone="bad">inactive</Badge>}
      {tenant.requiresSecondFactor && <Badge tone="info">second factor demanded</Badge>}
      {!tenant.hasDefaultAlerts && <Badge>without default alerts</Badge>}
      {suspension && (
        <Badge tone="bad">
          suspended: {suspension.reason}
          {!isEndless(suspension.suspendedUntil) && (
            <>
              {" until "}
              <Moment at={suspension.suspendedUntil ?? ""} />
            </>
          )}
        </Badge>
      )}
    </span>
  );
}

function Applications({ tenant }: { readonly tenant: Tenant }) {
  const applications = present(tenant.applications.nodes);
  const { totalCount } = tenant.applications;
  return (
    <Card
      title="Applications"
      about={
        applications.length < totalCount ? `The first ${applications.length} of ${totalCount}` : ""
      }
      isFlush
    >
      {applications.length === 0 ? (
        <Empty title="No application yet">
          Operations are decided for applications: make one with <code>createApplication</code> or{" "}
          <code>storage-qos create application</code>.
        </Empty>
      ) : (
        <Table columns={["Application", "Cluster"]}>
          {applications.map(({ appId, name, cluster, isActive, suspendedUntil }) => (
            <tr key={appId}>
              <th scope="row">
                <Link to="/applications/$appId" params={{ appId }}>
                  {name}
                </Link>{" "}
                {!isActive && <Badge tone="bad">inactive</Badge>}
                {suspendedUntil && <Badge tone="bad">suspended</Badge>}
              </th>
              <td>{cluster?.name ?? <span className="quiet">none</span>}</td>
            </tr>
          ))}
        </Table>
      )}
    </Card>
  );
}
