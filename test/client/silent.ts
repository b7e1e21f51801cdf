import { pino } from "pino";

/** For clients whose warnings a test expects. */
export const silent = pino({ level: "silent" });
