import type { Command } from "commander";

export function register(program: Command): void {
  const archive = program
    .command("archive")
    .description("list, verify and restore what retention has exported (QOS_ARCHIVE_FOLDER)");

  archive
    .command("list [folder]")
    .description("list the archives of a folder, or of s3://bucket/folder")
    .option("--json", "one JSON object a line")
    .action(async (folder: string | undefined, { json }: { json?: boolean }) => {
      const { printRows } = await import("../../output/print-rows.ts");
      const { archiveStore } = await import("../archive-location.ts");
      const { listManifests } = await import("../../archive/list.ts");
      const { readManifest } = await import("../../archive/manifest.ts");
      const store = archiveStore(folder);
      const names = await listManifests(store);
      const rows: object[] = [];
      for (const name of names) {
        rows.push({ manifest: store.locate(name), ...(await readManifest(store, name)) });
      }
      const columns = ["data_type", "rows", "min_time", "max_time", "manifest"];
      printRows(rows, columns, { json, none: "nothing has been archived" });
    });

  archive
    .command("verify <manifests...>")
    .description("read archives and compare them with their manifests")
    .action(async (paths: string[]) => {
      const { archiveAt } = await import("../archive-location.ts");
      const { verifyArchive } = await import("../../archive/manifest.ts");
      for (const path of paths) {
        const { store, name } = archiveAt(path);
        const { file, manifest } = await verifyArchive(store, name);
        console.log(`${store.locate(file)}: ${manifest.rows} rows, as its manifest says`);
      }
    });

  archive
    .command("restore <manifests...>")
    .description("put archived rows back into the database of DATABASE_URL")
    .action(async (paths: string[]) => {
      const { archiveAt } = await import("../archive-location.ts");
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { restoreArchive } = await import("../../archive/restore.ts");
      for (const path of paths) {
        const { store, name } = archiveAt(path);
        const { relation, restored, present } = await withOwnerConnection((_sql, url) =>
          restoreArchive(url, store, name),
        );
        console.log(`${relation}: ${restored} rows restored, ${present} were there`);
      }
    });
}
