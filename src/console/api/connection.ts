import { store } from "../store.ts";

/** Whether the API answers. While it does not, it is asked until it does. */
export const connection = store<"there" | "lost">("there");

const firstWaitMs = 1_000;
const longestWaitMs = 15_000;

export function connectionLost(): void {
  if (connection.get() === "lost") return;
  connection.set("lost");
  lookAgain(firstWaitMs);
}

/** The machine has no network: what a request would find out is known already. */
addEventListener("offline", connectionLost);

function lookAgain(waitMs: number): void {
  setTimeout(async () => {
    if (await answers()) connection.set("there");
    else lookAgain(Math.min(waitMs * 1.5, longestWaitMs));
  }, waitMs);
}

async function answers(): Promise<boolean> {
  return fetch("/healthz", { cache: "no-store" }).then(
    (response) => response.ok,
    () => false,
  );
}
