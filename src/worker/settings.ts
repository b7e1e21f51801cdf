import { openStore } from "../archive/open-store.ts";
import type { ArchiveStore } from "../archive/store.ts";
import type { Address } from "../http/address.ts";
import { archiveDeclaration } from "../settings/archive.ts";
import { readSettings } from "../settings/read-settings.ts";
import { workerDeclaration } from "../settings/worker.ts";
import { type AlertSettings, alertSettings } from "./alerts/settings.ts";
import { type HealthSettings, healthSettings } from "./health/settings.ts";
import { type InvitationSettings, invitationSettings } from "./invitations/settings.ts";

/** What a worker takes from its environment. */
export interface WorkerSettings {
  /** Jobs that one process runs at once. */
  readonly concurrency: number;
  /** Where it serves its metrics and health. */
  readonly address: Address;
  readonly alerts: AlertSettings;
  readonly health: HealthSettings;
  readonly invitations: InvitationSettings;
  /** Where retention exports to what its policy wants kept. */
  readonly archive: ArchiveStore | undefined;
}

export function workerSettings(env: NodeJS.ProcessEnv = process.env): WorkerSettings {
  const { folder } = readSettings(env, archiveDeclaration);
  const { concurrency, host, port } = readSettings(env, workerDeclaration);
  return {
    concurrency,
    address: { host, port },
    alerts: alertSettings(env),
    health: healthSettings(env),
    invitations: invitationSettings(env),
    archive: folder === undefined ? undefined : openStore(folder, env),
  };
}
