import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const stopMs = 10_000;

/** A program that is started again when it was killed, until the run ends. */
export class Process {
  readonly #args: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  readonly #logFile: string | undefined;
  #child: ChildProcess;
  #isStopping = false;
  /** How often it ended without being told to. */
  deaths = 0;

  /** Its errors go to the file, where one is named. */
  constructor(args: readonly string[], env: NodeJS.ProcessEnv, logFile?: string) {
    this.#args = args;
    this.#logFile = logFile;
    this.#env = env;
    this.#child = this.#start();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async pause(ms: number): Promise<void> {
    const child = this.#child;
    child.kill("SIGSTOP");
    await sleep(ms);
    child.kill("SIGCONT");
  }

  /** Asks it to end, and kills it where it does not. Answers whether it ended by itself. */
  async stop(): Promise<boolean> {
    this.#isStopping = true;
    const child = this.#child;
    if (!this.isAlive) return true;
    const ended = once(child, "exit").then(() => true);
    child.kill("SIGTERM");
    const isInTime = await Promise.race([ended, sleep(stopMs, false, { ref: false })]);
    if (!isInTime) {
      child.kill("SIGKILL");
      await ended;
    }
    return isInTime;
  }

  #start(): ChildProcess {
    const log = this.#logFile === undefined ? undefined : openSync(this.#logFile, "a");
    const child = spawn(process.execPath, this.#args, {
      env: this.#env,
      stdio: ["ignore", "ignore", log ?? "ignore"],
    });
    if (log !== undefined) closeSync(log);
    // Whatever ends this program leaves no process behind.
    const kill = () => child.kill("SIGKILL");
    process.once("exit", kill);
    child.once("exit", () => {
      process.off("exit", kill);
      if (this.#isStopping) return;
      this.deaths += 1;
      this.#child = this.#start();
    });
    return child;
  }
}
