import type { Command } from "commander";
import { apiDeclaration, oidcDeclaration } from "../../settings/api.ts";
import { helpText } from "../../settings/help-text.ts";
import { loggingDeclaration } from "../../settings/logging.ts";
import { tracingDeclaration } from "../../settings/tracing.ts";

export function register(program: Command): void {
  program
    .command("api")
    .description("serve the admin API on the database of API_DATABASE_URL, until Ctrl-C")
    .addHelpText("after", () =>
      helpText(apiDeclaration, oidcDeclaration, loggingDeclaration, tracingDeclaration),
    )
    .action(async () => {
      const { startApi } = await import("../../api/server.ts");
      const { apiSettings } = await import("../../api/settings.ts");
      const { databaseUrl } = await import("../../targets/database-url.ts");
      const { startTracing } = await import("../../tracing/start-tracing.ts");
      const { runUntilStopped } = await import("../run-until-stopped.ts");
      const { urlFrom, withRole } = await import("../../postgres/url.ts");
      const { env } = process;
      const { host, port } = apiSettings(env);
      const tracing = await startTracing("storage-qos-api");
      const api = await startApi({
        databaseUrl:
          urlFrom(env, "API_DATABASE_URL") ??
          withRole(databaseUrl(env), "rate_limiter_authenticator"),
        ...{ host, port },
      });
      const metrics = api.metricsUrl ? `; metrics and health: ${api.metricsUrl}` : "";
      console.log(`admin API at ${api.url}${metrics}`);
      await runUntilStopped(api, tracing);
    });
}
