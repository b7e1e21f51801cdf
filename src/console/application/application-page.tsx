import { Tabs } from "@base-ui/react/tabs";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useQuery } from "urql";
import { Rules } from "../alerts/rules.tsx";
import { problemOfAnswer } from "../api/problem.ts";
import type { ApplicationTab } from "../router.tsx";
import { useMay } from "../session/viewer.tsx";
import { NotFound } from "../shell/shell.tsx";
import { Badge } from "../ui/badge.tsx";
import { Loading } from "../ui/loading.tsx";
import { Moment } from "../ui/moment.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { ApplicationDocument, type ApplicationQuery } from "./application.operations.ts";
import { BucketsTab } from "./buckets-tab.tsx";
import { CostsTab } from "./costs-tab.tsx";
import { KeysTab } from "./keys-tab.tsx";
import { QuotaTab } from "./quota-tab.tsx";
import { UsageTab } from "./usage-tab.tsx";

type Application = NonNullable<ApplicationQuery["application"]>;

export default function ApplicationPage() {
  const { appId } = useParams({ from: "/applications/$appId" });
  const { tab = "buckets" } = useSearch({ from: "/applications/$appId" });
  const navigate = useNavigate({ from: "/applications/$appId" });
  const [{ data, error }] = useQuery({ query: ApplicationDocument, variables: { appId } });
  const tabs = useTabs();

  const problem = problemOfAnswer(error);
  if (data === undefined) return problem ? <ProblemNote problem={problem} /> : <Loading />;
  const { application } = data;
  if (application === null) return <NotFound />;
  const operations = (data.operationTypes?.nodes ?? []).map((each) => each?.name ?? "");

  return (
    <Page title={application.name} about={<About application={application} />}>
      <Tabs.Root
        className="stack"
        value={tab}
        onValueChange={(value) => navigate({ search: { tab: value as ApplicationTab } })}
      >
        <Tabs.List className="tabs">
          {tabs.map(([value, label]) => (
            <Tabs.Tab key={value} value={value} className="tab">
              {label}
            </Tabs.Tab>
          ))}
          <Tabs.Indicator className="tab-line" renderBeforeHydration={false} />
        </Tabs.List>
        <Tabs.Panel value="buckets">
          <BucketsTab appId={appId} operations={operations} />
        </Tabs.Panel>
        <Tabs.Panel value="quota">
          <QuotaTab appId={appId} name={application.name} />
        </Tabs.Panel>
        <Tabs.Panel value="keys">
          <KeysTab appId={appId} name={application.name} />
        </Tabs.Panel>
        <Tabs.Panel value="costs">
          <CostsTab appId={appId} name={application.name} />
        </Tabs.Panel>
        <Tabs.Panel value="alerts">
          <Rules app={{ appId, name: application.name }} />
        </Tabs.Panel>
        <Tabs.Panel value="usage">
          <UsageTab appId={appId} />
        </Tabs.Panel>
      </Tabs.Root>
    </Page>
  );
}

/** What a role may not read has no tab. */
function useTabs(): readonly (readonly [ApplicationTab, string])[] {
  const quota = useMay("quota:read");
  const metrics = useMay("metrics:read");
  const all = [
    ["buckets", "Buckets", metrics || quota],
    ["quota", "Quota", quota],
    ["keys", "Keys", true],
    ["costs", "Costs", true],
    ["alerts", "Alerts", metrics],
    ["usage", "Usage", metrics],
  ] as const;
  return all.filter(([, , isShown]) => isShown).map(([value, label]) => [value, label] as const);
}

function About({ application }: { readonly application: Application }) {
  const { tenant, cluster, clusterId, isActive, suspendedUntil, reservation } = application;
  return (
    <span className="row">
      <span>{tenant?.name}</span>
      {clusterId ? (
        <span>
          on{" "}
          <Link to="/clusters/$clusterId" params={{ clusterId }}>
            {cluster?.name ?? "its cluster"}
          </Link>
        </span>
      ) : (
        <span>on no cluster</span>
      )}
      {!isActive && <Badge tone="bad">inactive</Badge>}
      {suspendedUntil && (
        <Badge tone="bad">
          suspended
          {suspendedUntil !== "infinity" && (
            <>
              {" until "}
              <Moment at={suspendedUntil} />
            </>
          )}
        </Badge>
      )}
      {reservation && <Badge tone="info">has a reservation</Badge>}
    </span>
  );
}
