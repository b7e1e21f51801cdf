/** What an error of the driver means for the store. */
export type ErrorKind =
  /** The database cannot charge. */
  | "outage"
  /**
   * Rolled back for another transaction, or the application has moved to another cluster: nothing
   * was charged, and a repeated call looks the application up anew.
   */
  | "conflict"
  /** A lock or a statement took too long: a matter of this application alone. */
  | "busy"
  /** The connection's prepared statement is outdated: repeat on another one. */
  | "stale"
  | "other";

interface DriverError {
  readonly code?: string;
  readonly message?: string;
}

const outages = new Set(["57P01", "57P02", "57P03", "25006", "28000", "28P01", "3D000"]);

export function kindOf(error: unknown): ErrorKind {
  const { code = "", message = "" } = Object(error) as DriverError;
  if (code === "40001" || code === "40P01" || hasMoved(code, message)) return "conflict";
  if (code === "55P03" || code === "57014") return "busy";
  if (lostStatement(error) || changedRowType(code, message)) return "stale";
  if (!/^[0-9A-Z]{5}$/.test(code)) return "outage";
  if (/^(08|53)/.test(code) || outages.has(code)) return "outage";
  return isStandby(code, message) ? "outage" : "other";
}

/** Whether the connection can be used again after the error. */
export function keepsConnection(error: unknown): boolean {
  const kind = kindOf(error);
  const { code = "" } = Object(error) as DriverError;
  const isLocal = /^(QS|UNDEFINED)/.test(code);
  return isLocal || kind === "conflict" || kind === "busy" || kind === "other";
}

/**
 * Whether the server said that it does not take the statement, or that it goes: another connection
 * may lead to one that does. A charge that was committed all the same is charged twice, never lost.
 */
export function isLeaving(error: unknown): boolean {
  const { code = "", message = "" } = Object(error) as DriverError;
  return /^(08...|57P0[123]|25006)$/.test(code) || isStandby(code, message);
}

/** The prepared statement is not there: a pooler in transaction mode gave another session. */
export function lostStatement(error: unknown): boolean {
  const { code } = Object(error) as DriverError;
  return code === "26000" || code === "42P05";
}

function hasMoved(code: string, message: string): boolean {
  return code === "QS409" && message === "application has moved";
}

function isStandby(code: string, message: string): boolean {
  return code === "0A000" && /recovery|standby|read-only/.test(message);
}

function changedRowType(code: string, message: string): boolean {
  return code === "42703" || (code === "0A000" && message.includes("cached plan"));
}
