import { isNodeTooOld } from "./is-node-too-old.ts";

if (isNodeTooOld()) process.exitCode = 1;
else {
  // Loaded after that: the libraries of an old Node would fail with errors of their own.
  (await import("./keep-compiled.ts")).keepCompiled();
  await (await import("./program.ts")).runProgram();
}
