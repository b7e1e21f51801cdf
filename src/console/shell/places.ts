import type { Viewer } from "../session/viewer.tsx";
import type { IconName } from "./icons.tsx";

export interface Place {
  readonly to:
    | "/"
    | "/applications"
    | "/clusters"
    | "/tenants"
    | "/alerts"
    | "/people"
    | "/access"
    | "/audit"
    | "/settings"
    | "/jobs"
    | "/processes";
  readonly label: string;
  readonly icon: IconName;
  /** What it needs; what a role may not do is not shown. */
  readonly needs: string;
}

const places: readonly Place[] = [
  { to: "/", label: "Overview", icon: "overview", needs: "metrics:read" },
  { to: "/applications", label: "Applications", icon: "applications", needs: "application:read" },
  { to: "/clusters", label: "Clusters", icon: "clusters", needs: "application:read" },
  { to: "/tenants", label: "Tenants", icon: "tenants", needs: "tenant:read" },
  { to: "/alerts", label: "Alerts", icon: "alerts", needs: "metrics:read" },
  { to: "/people", label: "People", icon: "people", needs: "tenant:update" },
  { to: "/access", label: "Access", icon: "access", needs: "tenant:update" },
  { to: "/audit", label: "Audit", icon: "audit", needs: "audit:read" },
  { to: "/settings", label: "Settings", icon: "settings", needs: "system:configure" },
  { to: "/jobs", label: "Jobs", icon: "jobs", needs: "system:configure" },
  { to: "/processes", label: "Processes", icon: "processes", needs: "system:configure" },
];

export function placesFor(viewer: Viewer): readonly Place[] {
  return places.filter(({ needs }) => viewer.may(needs));
}
