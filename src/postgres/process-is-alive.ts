/** Whether a process of this number runs, and this one may signal it. */
export function processIsAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
