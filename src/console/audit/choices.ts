import { sentence } from "../format/words.ts";
import type { AuditAction, AuditEntityType } from "./audit.operations.ts";

/** Records, so that the compiler misses none that the API comes to have. */
const actions: Readonly<Record<AuditAction, true>> = {
  ACKNOWLEDGE: true,
  ADJUST: true,
  ADMINISTRATOR: true,
  BORROW: true,
  CONFIRM_SECOND_FACTOR: true,
  DELETE: true,
  EMAIL_CHANGED: true,
  ENROL_SECOND_FACTOR: true,
  EXPORT: true,
  INSERT: true,
  LOGIN: true,
  LOGOUT: true,
  LOGOUT_EVERYWHERE: true,
  PASSWORD_CHANGED: true,
  REFRESH_TOKEN_REUSED: true,
  REMOVE_SECOND_FACTOR: true,
  REPAY: true,
  REPLAY: true,
  RESET_SECOND_FACTOR: true,
  RETRY: true,
  ROLE_LOST: true,
  SECOND_FACTOR_CHANGED: true,
  SET_CEILING: true,
  SET_PASSWORD: true,
  TENANT_DEACTIVATED: true,
  UPDATE: true,
  USER_DEACTIVATED: true,
  WRITE_OFF: true,
};

const entityTypes: Readonly<Record<AuditEntityType, true>> = {
  ALERT: true,
  ALERT_CONFIG: true,
  ALERT_NOTIFICATION: true,
  API_KEY: true,
  APPLICATION: true,
  AUDIT: true,
  BANDWIDTH_QUOTA: true,
  BORROWING: true,
  BUCKET: true,
  CEILING: true,
  CLUSTER: true,
  COST_RULE: true,
  INVITATION: true,
  IOPS_QUOTA: true,
  JOB: true,
  METRIC: true,
  OPERATION_TYPE: true,
  QUOTA: true,
  RESERVATION: true,
  RETENTION_POLICY: true,
  ROLE: true,
  ROLE_MAPPING: true,
  ROLE_PERMISSION: true,
  SERVICE_TOKEN: true,
  SUSPENSION: true,
  SYSTEM_SETTING: true,
  TENANT: true,
  USER: true,
  USER_ROLE: true,
  USER_SESSION: true,
};

export const actionChoices = choicesOf(actions);
export const entityTypeChoices = choicesOf(entityTypes);

export const isAction = (text: string | undefined): text is AuditAction =>
  text !== undefined && Object.hasOwn(actions, text);

export const isEntityType = (text: string | undefined): text is AuditEntityType =>
  text !== undefined && Object.hasOwn(entityTypes, text);

function choicesOf(values: object): readonly (readonly [string, string])[] {
  const names = Object.keys(values).map((value) => [value, sentence(value)] as const);
  return [["", "any"], ...names];
}
