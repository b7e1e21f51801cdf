import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../log.ts";
import { type RunningServer, type ServerSpec, startServer } from "./server.ts";

/** While a process of the server that died still holds its shared memory, the next one refuses. */
const pauseMs = 200;
const mostTries = 50;

/**
 * Starts a server, and starts it again whenever it dies. Where that does not succeed in ten seconds,
 * `onLoss` is called once.
 */
export async function keepRunning(
  spec: ServerSpec,
  log: Logger,
  onLoss: (error: unknown) => void,
): Promise<RunningServer> {
  let server = await startServer(spec);
  let isStopping = false;
  const supervision = (async () => {
    for (;;) {
      await server.ended;
      if (isStopping) return;
      log.error("the embedded server has died, and is started again");
      server = await startAgain(spec, () => isStopping);
    }
  })().catch((error: unknown) => {
    if (!isStopping) onLoss(error);
  });
  return {
    port: spec.port,
    ended: supervision,
    async stop() {
      isStopping = true;
      await server.stop();
      await supervision;
    },
  };
}

async function startAgain(spec: ServerSpec, isStopping: () => boolean): Promise<RunningServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startServer(spec);
    } catch (error) {
      if (attempt === mostTries || isStopping()) throw error;
      await sleep(pauseMs);
    }
  }
}
