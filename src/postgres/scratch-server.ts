import { startThrowawayServer } from "./throwaway-server.ts";

/** A server where databases may be made and dropped; the URL's login may do so. */
export interface ScratchServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** The server for tools: the one that DATABASE_URL names, else an embedded one of their own. */
export async function openScratchServer(
  env: NodeJS.ProcessEnv = process.env,
): Promise<ScratchServer> {
  if (env.DATABASE_URL) return { url: env.DATABASE_URL, stop: async () => {} };
  return startThrowawayServer();
}
