import { logFor } from "../log.ts";
import { dockerAnswers, startContainerServer } from "./container-server.ts";
import { startThrowawayServer } from "./throwaway-server.ts";

/** A server where databases may be made and dropped; the URL's login may do so. */
export interface TestServer {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * The server for tests and tools: the one that DATABASE_URL names, else a container where
 * TEST_DATABASE=testcontainers asks for it and Docker answers, else an embedded one.
 */
export async function openTestServer(env: NodeJS.ProcessEnv = process.env): Promise<TestServer> {
  if (env.DATABASE_URL) return { url: env.DATABASE_URL, stop: async () => {} };
  if (env.TEST_DATABASE === "testcontainers") {
    if (await dockerAnswers()) return startContainerServer();
    logFor("postgres").warn("Docker does not answer: the embedded PostgreSQL serves instead");
  }
  return startThrowawayServer();
}
