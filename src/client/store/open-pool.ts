import postgres from "postgres";
import type { Sql } from "./sql.ts";

export function openPool(url: string): Sql {
  return postgres(url, {
    database: databaseOf(url),
    max: 4,
    connect_timeout: 5,
    // No statement of ours has arrays; asking for their types is one more that can fail.
    fetch_types: false,
    // The store pauses by itself after a failure; the driver's own pauses grow to 20 seconds.
    backoff: (tries) => Math.min(0.05 * 2 ** tries, 1),
    connection: { application_name: "storage-qos client" },
    onnotice: () => {},
  });
}

/** The driver would leave it encoded: my%20db. Not by URL, which knows no list of hosts. */
function databaseOf(url: string): string {
  return decodeURIComponent(/^\w+:\/\/[^/?#]*\/([^?#]*)/.exec(url)?.[1] ?? "");
}
