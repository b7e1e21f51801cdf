import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { apiKey } from "./nginx.ts";

const run = promisify(execFile);

/** Requests per second of one thread with 32 connections. Every answer has to be a success. */
export async function requestsPerSecond(url: string, seconds: number): Promise<number> {
  const whole = Math.max(Math.ceil(seconds), 1);
  const options = ["-t", "1", "-c", "32", "-d", `${whole}s`, "-H", `X-API-Key: ${apiKey}`];
  const { stdout } = await run("wrk", [...options, url]);
  const failed = /Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1];
  if (failed !== undefined) throw new Error(`${failed} requests were not answered with 200`);
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1];
  if (rate === undefined) throw new Error(`wrk said: ${stdout}`);
  return Number(rate);
}
