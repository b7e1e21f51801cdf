import { parentPort, workerData } from "node:worker_threads";
import { attacks, type Target } from "./attacks.ts";

const { name, ...target } = workerData as Target & { readonly name: string };
parentPort?.postMessage("begun");
await attacks[name]?.(target);
