import { isNodeTooOld } from "./is-node-too-old.ts";

if (isNodeTooOld()) process.exitCode = 1;
// Loaded after that: the libraries of an old Node would fail with errors of their own.
else await (await import("./program.ts")).runProgram();
