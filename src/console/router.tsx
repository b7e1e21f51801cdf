import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from "@tanstack/react-router";
import { OverviewPage } from "./overview/overview-page.tsx";
import { pageLoaders } from "./shell/page-loaders.ts";
import { NotFound, PageError, Shell } from "./shell/shell.tsx";

const root = createRootRoute({
  ...{ component: Shell, notFoundComponent: NotFound, errorComponent: PageError },
});

/** A text of the address, where it is one. */
function text(search: Record<string, unknown>, name: string): string | undefined {
  const value = search[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

const overview = createRoute({
  ...{ getParentRoute: () => root, path: "/", component: OverviewPage },
});

const applications = createRoute({
  ...{ getParentRoute: () => root, path: "/applications" },
  validateSearch: (search): { search?: string } => ({ search: text(search, "search") }),
  component: lazyRouteComponent(pageLoaders.applications),
});

export const applicationTabs = ["buckets", "quota", "keys", "costs", "alerts", "usage"] as const;
export type ApplicationTab = (typeof applicationTabs)[number];

const application = createRoute({
  ...{ getParentRoute: () => root, path: "/applications/$appId" },
  validateSearch: (search): { tab?: ApplicationTab; operation?: string; size?: string } => ({
    tab: applicationTabs.find((each) => each === search.tab),
    operation: text(search, "operation"),
    size: text(search, "size"),
  }),
  component: lazyRouteComponent(pageLoaders.application),
});

const clusters = createRoute({
  ...{ getParentRoute: () => root, path: "/clusters" },
  component: lazyRouteComponent(pageLoaders.clusters),
});

const cluster = createRoute({
  ...{ getParentRoute: () => root, path: "/clusters/$clusterId" },
  component: lazyRouteComponent(pageLoaders.cluster),
});

const tenants = createRoute({
  ...{ getParentRoute: () => root, path: "/tenants" },
  component: lazyRouteComponent(pageLoaders.tenants),
});

const tenant = createRoute({
  ...{ getParentRoute: () => root, path: "/tenants/$tenantId" },
  component: lazyRouteComponent(pageLoaders.tenant),
});

const alerts = createRoute({
  ...{ getParentRoute: () => root, path: "/alerts" },
  validateSearch: (search): { status?: "all" } => ({
    status: search.status === "all" ? "all" : undefined,
  }),
  component: lazyRouteComponent(pageLoaders.alerts),
});

const people = createRoute({
  ...{ getParentRoute: () => root, path: "/people" },
  component: lazyRouteComponent(pageLoaders.people),
});

const access = createRoute({
  ...{ getParentRoute: () => root, path: "/access" },
  component: lazyRouteComponent(pageLoaders.access),
});

const audit = createRoute({
  ...{ getParentRoute: () => root, path: "/audit" },
  validateSearch: (search): { days?: number; action?: string; kind?: string; text?: string } => ({
    days: Number(search.days) > 0 ? Number(search.days) : undefined,
    action: text(search, "action"),
    kind: text(search, "kind"),
    text: text(search, "text"),
  }),
  component: lazyRouteComponent(pageLoaders.audit),
});

const settings = createRoute({
  ...{ getParentRoute: () => root, path: "/settings" },
  component: lazyRouteComponent(pageLoaders.settings),
});

const jobs = createRoute({
  ...{ getParentRoute: () => root, path: "/jobs" },
  component: lazyRouteComponent(pageLoaders.jobs),
});

const processes = createRoute({
  ...{ getParentRoute: () => root, path: "/processes" },
  component: lazyRouteComponent(pageLoaders.processes),
});

export const router = createRouter({
  routeTree: root.addChildren([
    ...[overview, applications, application, clusters, cluster, tenants, tenant, alerts],
    ...[people, access, audit, settings, jobs, processes],
  ]),
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
