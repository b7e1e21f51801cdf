/** The commands of commands/ under their headings, as help lists them. */
export const commandGroups: Readonly<Record<string, readonly string[]>> = {
  "First steps:": ["start", "status", "reset-password", "seed-demo"],
  "Decide and explain:": ["check", "consume", "why", "usage", "top"],
  "Manage what is limited:": [
    ...["get", "describe", "create", "set", "delete"],
    ...["apply", "diff", "export", "access-keys", "profile"],
  ],
  "Run and look after it:": [
    ...["prepare", "migrate", "create-admin", "api", "worker"],
    ...["doctor", "jobs", "ledger", "retention", "archive", "timescale"],
  ],
  "Plan:": ["replay"],
  "In a shell:": ["completion"],
};

/** Of those in development/, which a package leaves out. */
export const developmentHeading = "Development of storage-qos:";

export function headingOf(name: string): string {
  return (
    Object.keys(commandGroups).find((each) => commandGroups[each]?.includes(name)) ??
    developmentHeading
  );
}

/** Commands as help lists them. */
export function inOrder(names: readonly string[]): string[] {
  const order = Object.values(commandGroups).flat();
  return names.toSorted((one, other) => placeIn(order, one) - placeIn(order, other));
}

function placeIn(order: readonly string[], name: string): number {
  const place = order.indexOf(name);
  return place < 0 ? order.length : place;
}
