import type { Command } from "commander";

interface QueryOptions {
  readonly json?: boolean;
  readonly limit: string;
  readonly parquet?: string;
}

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
    .command("query <select> [folder]")
    .description("answer a SELECT of DuckDB's SQL over archives; each type of data is a table")
    .option("--json", "one JSON object a line")
    .option("--limit <rows>", "print so many rows at most", "1000")
    .option("--parquet <file>", "write all rows into a Parquet file instead, compressed by zstd")
    .addHelpText(
      "after",
      () => `
Examples:
  storage-qos archive query 'select count(*) from token_transactions' /backup/archive
  storage-qos archive query 'from raw_metrics' --parquet metrics.parquet`,
    )
    .action(async (query: string, folder: string | undefined, options: QueryOptions) => {
      const { archiveStore } = await import("../archive-location.ts");
      const { queryArchives, writeParquet } = await import("../../archive/query/query-archives.ts");
      const store = archiveStore(folder);
      if (options.parquet !== undefined) {
        const rows = await writeParquet(store, query, options.parquet);
        console.log(`${options.parquet}: ${rows} rows`);
        return;
      }
      const { printRows } = await import("../../output/print-rows.ts");
      const { wholeNumber } = await import("../../input/whole-number.ts");
      const most = wholeNumber("limit", options.limit, 1, 1_000_000);
      const { columns, rows, isCut } = await queryArchives(store, query, most);
      printRows(rows, columns, { json: options.json, none: "no rows" });
      if (isCut) console.error(`There are more than ${most} rows: --limit, or --parquet for all.`);
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
