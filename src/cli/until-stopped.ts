const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** A repeated signal within this time is the same request: npm passes on what the terminal sent. */
const sameRequestMs = 1_000;

const parentCheckMs = 500;

/**
 * Resolves at the first SIGINT, SIGTERM or SIGHUP. A second one, a second later, ends the process at
 * once. A process that npm started also stops when its parent is gone: the shell between them dies of
 * a signal without passing it on.
 */
export function untilStopped(parent: Parent = processParent): Promise<void> {
  return new Promise((resolve) => {
    let stoppedAt: number | undefined;
    const stop = () => {
      stoppedAt ??= performance.now();
      clearInterval(watch);
      resolve();
    };
    // The timer also keeps Node running, which a pending promise alone does not.
    const { startedByNpm } = parent;
    const first = parent.pid();
    const watch = setInterval(() => {
      if (startedByNpm && parent.pid() !== first) stop();
    }, parentCheckMs);
    const onSignal = (signal: NodeJS.Signals) => {
      if (stoppedAt === undefined) return stop();
      if (performance.now() - stoppedAt < sameRequestMs) return;
      for (const each of signals) process.off(each, onSignal);
      process.kill(process.pid, signal);
    };
    for (const each of signals) process.on(each, onSignal);
  });
}

export interface Parent {
  readonly startedByNpm: boolean;
  pid(): number;
}

const processParent: Parent = {
  startedByNpm: process.env.npm_execpath !== undefined,
  pid: () => process.ppid,
};
