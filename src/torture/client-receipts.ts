import { existsSync, readFileSync } from "node:fs";
import type { ClientLine } from "./client-process.ts";
import { appsOfClients, receiptsFile } from "./programs.ts";
import type { Receipts } from "./receipts.ts";
import type { World } from "./world.ts";

/** The files of the clients are their receipts. Answers what their outage policy admitted. */
export function readClients(folder: string, world: World, receipts: Receipts): number {
  let byPolicy = 0;
  for (const { appId } of appsOfClients({ world })) {
    for (const line of readLines(receiptsFile({ folder }, appId))) {
      addLine(receipts, appId, line);
      byPolicy += line.policy;
    }
  }
  return byPolicy;
}

function addLine(receipts: Receipts, appId: string, line: ClientLine): void {
  const { at, paid, denied, errors } = line;
  if (paid > 0) receipts.answers.push({ appId, at, tokens: paid, by: "lease" });
  receipts.count("client allowed", paid);
  receipts.count("client denied", denied);
  for (const code of errors) {
    receipts.count(`client ${code}`);
    if (!/^QS(40[139]|503)$/.test(code)) receipts.surprise(`a client got ${code}`);
  }
}

function readLines(file: string): ClientLine[] {
  // One that was killed at once wrote nothing.
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").split("\n");
  return lines.slice(0, -1).flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      // Cut off by the client's death; the next one of the same file went on behind it.
      return [];
    }
  });
}
