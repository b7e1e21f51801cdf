import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useMemo, useRef } from "react";
import { useMay } from "../session/viewer.tsx";
import { Badge } from "../ui/badge.tsx";
import { Empty } from "../ui/empty.tsx";
import { Loading } from "../ui/loading.tsx";
import { Page } from "../ui/page.tsx";
import { ProblemNote } from "../ui/problem-note.tsx";
import { type ListedApplication, useApplicationNames } from "./application-names.ts";

const rowHeight = 53;

/** All that the viewer sees: only the rows in sight are in the page. */
export default function ApplicationsPage() {
  const { search = "" } = useSearch({ from: "/applications" });
  const navigate = useNavigate({ from: "/applications" });
  const { applications, isComplete, problem } = useApplicationNames();
  const asked = useDeferredValue(search);
  const found = useMemo(() => filter(applications, asked), [applications, asked]);
  return (
    <Page
      title="Applications"
      about={
        <output>
          {asked === ""
            ? countOf(applications.length)
            : `${found.length} of ${countOf(applications.length)}`}
          {!isComplete && " so far"}
        </output>
      }
    >
      <input
        type="search"
        className="input search"
        placeholder="Search by application, tenant or cluster"
        aria-label="Search applications"
        value={search}
        onChange={({ target }) =>
          navigate({
            search: { search: target.value || undefined },
            replace: true,
            resetScroll: false,
          })
        }
      />
      {problem && <ProblemNote problem={problem} />}
      {found.length > 0 && <Rows applications={found} />}
      {found.length === 0 && <Nothing isComplete={isComplete} isSearch={asked !== ""} />}
    </Page>
  );
}

function countOf(count: number): string {
  return `${count.toLocaleString("en")} application${count === 1 ? "" : "s"}`;
}

function filter(all: readonly ListedApplication[], asked: string): readonly ListedApplication[] {
  const words = asked.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return all;
  return all.filter(({ name, tenant, cluster }) => {
    const text = `${name} ${tenant?.name} ${cluster?.name}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function Nothing({
  isComplete,
  isSearch,
}: {
  readonly isComplete: boolean;
  readonly isSearch: boolean;
}) {
  const mayCreate = useMay("application:create");
  if (!isComplete) return <Loading label="Loading applications" />;
  if (isSearch) {
    return (
      <Empty title="Nothing is called that">
        The search looks at the names of applications, tenants and clusters.
      </Empty>
    );
  }
  return (
    <Empty title="No application yet">
      An application is what limits are set for: a service, a job, a customer.{" "}
      {mayCreate && (
        <>
          Create one with the mutation <code>createApplication</code>; its first key comes with it.
        </>
      )}
    </Empty>
  );
}

function Rows({ applications }: { readonly applications: readonly ListedApplication[] }) {
  const list = useRef<HTMLUListElement>(null);
  const rows = useWindowVirtualizer({
    count: applications.length,
    estimateSize: () => rowHeight,
    overscan: 12,
    scrollMargin: list.current?.offsetTop ?? 0,
  });
  return (
    <ul ref={list} className="card rows" style={{ height: rows.getTotalSize() }}>
      {rows.getVirtualItems().map(({ index, key, start }) => {
        const application = applications[index];
        if (application === undefined) return null;
        return (
          <li
            key={key}
            className="rows-row"
            aria-setsize={applications.length}
            aria-posinset={index + 1}
            style={{ transform: `translateY(${start - rows.options.scrollMargin}px)` }}
          >
            <Row application={application} />
          </li>
        );
      })}
    </ul>
  );
}

function Row({ application }: { readonly application: ListedApplication }) {
  const { appId, name, tenant, cluster, isActive, suspendedUntil } = application;
  return (
    <Link to="/applications/$appId" params={{ appId }} className="rows-link">
      <span className="strong rows-name">{name}</span>
      <span className="quiet rows-about">
        {tenant?.name}
        {cluster && ` · ${cluster.name}`}
      </span>
      {!isActive && <Badge tone="bad">inactive</Badge>}
      {suspendedUntil && <Badge tone="bad">suspended</Badge>}
    </Link>
  );
}
