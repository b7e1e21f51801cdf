import { readSettings } from "../../settings/read-settings.ts";
import { invitationDeclaration } from "../../settings/worker.ts";

export interface InvitationSettings {
  /** Where people open the console; without it no invitation is mailed. */
  readonly consoleUrl: string | undefined;
}

export function invitationSettings(env: NodeJS.ProcessEnv): InvitationSettings {
  return readSettings(env, invitationDeclaration);
}
