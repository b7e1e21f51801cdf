import { InputError } from "../user-error.ts";

export function archiveFolder(
  named: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
): string {
  const folder = named ?? env.QOS_ARCHIVE_FOLDER;
  if (folder) return folder;
  throw new InputError(
    "archive_folder_missing",
    "no folder is named",
    "Name one, or set QOS_ARCHIVE_FOLDER.",
  );
}
