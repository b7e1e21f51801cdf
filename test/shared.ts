import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The one thing that lies beside the project and need not be there: what uses it skips without. */
const shared = new URL("../../shared/", import.meta.url);

export const sharedTrace = fileURLToPath(new URL("data/block-io-2h.csv.gz", shared));
export const hasSharedTrace = existsSync(sharedTrace);
