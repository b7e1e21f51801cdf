/** The pages, each of which is loaded when it is gone to, or before. */
export const pageLoaders = {
  applications: () => import("../applications/applications-page.tsx"),
  application: () => import("../application/application-page.tsx"),
  clusters: () => import("../cluster/clusters-page.tsx"),
  cluster: () => import("../cluster/cluster-page.tsx"),
  tenants: () => import("../tenant/tenants-page.tsx"),
  tenant: () => import("../tenant/tenant-page.tsx"),
  alerts: () => import("../alerts/alerts-page.tsx"),
  people: () => import("../people/people-page.tsx"),
  access: () => import("../access/access-page.tsx"),
  audit: () => import("../audit/audit-page.tsx"),
  settings: () => import("../settings/settings-page.tsx"),
  jobs: () => import("../jobs/jobs-page.tsx"),
  processes: () => import("../processes/processes-page.tsx"),
};

const pauseMs = 2_000;

/** After the first view, so that a page opens at once, and without a connection as well. */
export function loadAllPages(): () => void {
  const timer = setTimeout(() => {
    for (const load of Object.values(pageLoaders)) load().catch(() => {});
  }, pauseMs);
  return () => clearTimeout(timer);
}
