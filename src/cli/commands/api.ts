import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("api")
    .description("serve the admin API on the database of API_DATABASE_URL, until Ctrl-C")
    .action(async () => {
      const { startApi } = await import("../../api/server.ts");
      const { apiAddress } = await import("../../start/api-address.ts");
      const { databaseUrl } = await import("../database-url.ts");
      const { runUntilStopped } = await import("../run-until-stopped.ts");
      const { urlFrom, withRole } = await import("../../postgres/url.ts");
      const { env } = process;
      const api = await startApi({
        databaseUrl:
          urlFrom(env, "API_DATABASE_URL") ??
          withRole(databaseUrl(env), "rate_limiter_authenticator"),
        ...apiAddress(env),
      });
      const metrics = api.metricsUrl ? `; metrics and health: ${api.metricsUrl}` : "";
      console.log(`admin API at ${api.url}${metrics}`);
      await runUntilStopped(api);
    });
}
