/** For those who work on storage-qos itself: they are shown in a clone alone. */
const development = "Development of storage-qos:";

/** The commands under their headings, as help lists them. */
export const commandGroups: Readonly<Record<string, readonly string[]>> = {
  "First steps:": ["start", "status", "reset-password", "seed-demo"],
  "Decide and explain:": ["check", "consume", "why", "usage", "top"],
  "Manage what is limited:": [
    ...["get", "describe", "create", "set", "delete"],
    ...["apply", "diff", "export", "access-keys"],
  ],
  "Run and look after it:": [
    ...["prepare", "migrate", "create-admin", "api", "worker"],
    ...["doctor", "jobs", "ledger", "retention", "archive"],
  ],
  "Plan:": ["replay", "bench"],
  "In a shell:": ["completion"],
  [development]: [
    ...["dev", "test-changes", "commit", "uncommit", "refreeze", "snapshot", "diagram", "settings"],
    ...["build-console", "console-types", "build-client", "explain", "vectors", "torture"],
  ],
};

/** The heading of a command. */
export function groupOf(name: string): string | undefined {
  return Object.keys(commandGroups).find((heading) => commandGroups[heading]?.includes(name));
}

export function isShown(name: string, isClone: boolean): boolean {
  return isClone || groupOf(name) !== development;
}
