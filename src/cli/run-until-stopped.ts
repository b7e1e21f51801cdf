import { log } from "../log.ts";
import type { Service } from "../service.ts";
import { untilStopped } from "./until-stopped.ts";

/** Longer than each part gives itself: a service manager's own limit is usually 10 s or more. */
const stopMs = 15_000;

/** Runs until a signal, stops one after the other, and ends the process also where a part does not stop. */
export async function runUntilStopped(
  ...services: readonly Pick<Service, "stop">[]
): Promise<void> {
  await untilStopped();
  const deadline = setTimeout(() => {
    log.error(`not stopped in ${stopMs} ms: ending the process`);
    process.exit(1);
  }, stopMs);
  for (const service of services) await service.stop();
  // What still keeps Node running now, such as a socket that does not close, gets the same time.
  deadline.unref();
}
