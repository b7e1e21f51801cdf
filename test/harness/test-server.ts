import { logFor } from "../../src/log.ts";
import { openScratchServer, type ScratchServer } from "../../src/postgres/scratch-server.ts";
import { dockerAnswers, startContainerServer } from "./container-server.ts";

/**
 * The server for tests: the one that DATABASE_URL names, else a container where
 * TEST_DATABASE=testcontainers asks for it and Docker answers, else an embedded one.
 */
export async function openTestServer(env: NodeJS.ProcessEnv = process.env): Promise<ScratchServer> {
  if (!env.DATABASE_URL && env.TEST_DATABASE === "testcontainers") {
    if (await dockerAnswers()) return startContainerServer();
    logFor("postgres").warn("Docker does not answer: the embedded PostgreSQL serves instead");
  }
  return openScratchServer(env);
}
