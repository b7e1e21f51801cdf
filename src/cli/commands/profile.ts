import type { Command } from "commander";

interface AddOptions {
  readonly url?: string;
  readonly database?: boolean;
}

export function register(program: Command): void {
  const profile = program
    .command("profile")
    .description("keep addresses and tokens of admin APIs and databases, and choose among them");

  profile
    .command("add <name>")
    .description("add or replace a profile; its secret is the first line of standard input")
    .option("--url <url>", "of an admin API: the secret is a token, or QOS_TOKEN")
    .option("--database", "of a database: the secret is its connection URL, or DATABASE_URL")
    .addHelpText(
      "after",
      `
The first profile is in use from then on.

Examples:
  storage-qos profile add production --url https://qos.example.org < token
  storage-qos profile add operations --database < connection-url`,
    )
    .action(async (name: string, { url, database }: AddOptions) => {
      const { addProfile } = await import("../../targets/add-profile.ts");
      await addProfile(process.env, name, { url, database: database ?? false });
      console.log(`profile ${name} was added`);
    });

  profile
    .command("list")
    .description("list profiles, without what is secret")
    .option("--json", "one JSON object a line")
    .action(async ({ json }: { json?: boolean }) => {
      const { readProfiles } = await import("../../targets/profiles-file.ts");
      const { describeProfile } = await import("../../targets/profile.ts");
      const { printRows } = await import("../../output/print-rows.ts");
      const { current, profiles } = readProfiles(process.env);
      const rows = Object.entries(profiles).map(([name, each]) => ({
        ...{ name, kind: "url" in each ? "api" : "database", address: describeProfile(each) },
        in_use: name === current ? "yes" : "no",
      }));
      const columns = ["name", "kind", "address", "in_use"];
      printRows(rows, columns, { json, none: "there are no profiles" });
    });

  profile
    .command("use <name>")
    .description("use a profile where nothing else is named")
    .action(async (name: string) => {
      const { readProfiles, writeProfiles } = await import("../../targets/profiles-file.ts");
      const { requireProfile } = await import("../../targets/chosen-profile.ts");
      const { profiles } = readProfiles(process.env);
      requireProfile(profiles, name);
      writeProfiles(process.env, { current: name, profiles });
      console.log(`profile ${name} is in use`);
    });

  profile
    .command("remove <name>")
    .description("remove a profile and its secret")
    .action(async (name: string) => {
      const { readProfiles, writeProfiles } = await import("../../targets/profiles-file.ts");
      const { requireProfile } = await import("../../targets/chosen-profile.ts");
      const { current, profiles } = readProfiles(process.env);
      requireProfile(profiles, name);
      const left = Object.fromEntries(Object.entries(profiles).filter(([each]) => each !== name));
      const isKept = current !== undefined && current !== name;
      writeProfiles(process.env, { ...(isKept && { current }), profiles: left });
      console.log(`profile ${name} was removed`);
    });
}
