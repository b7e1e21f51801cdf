import type { ScratchServer } from "../../src/postgres/scratch-server.ts";

const image = process.env.TEST_DATABASE_IMAGE ?? "postgres:18";

/** A server in a container. testcontainers is loaded only here: it is for development alone. */
export async function startContainerServer(): Promise<ScratchServer> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const password = crypto.randomUUID();
  const container = await new GenericContainer(image)
    .withEnvironment({ POSTGRES_PASSWORD: password })
    .withExposedPorts(5432)
    .withCommand(["postgres", "-c", "fsync=off", "-c", "max_connections=200"])
    // The image starts its server twice: once for initdb's scripts, then for good.
    .withWaitStrategy(Wait.forLogMessage("database system is ready to accept connections", 2))
    .start();
  const address = `${container.getHost()}:${container.getMappedPort(5432)}`;
  return {
    url: `postgres://postgres:${password}@${address}/postgres`,
    async stop() {
      await container.stop();
    },
  };
}

export async function dockerAnswers(): Promise<boolean> {
  try {
    const { getContainerRuntimeClient } = await import("testcontainers");
    await getContainerRuntimeClient();
    return true;
  } catch {
    return false;
  }
}
