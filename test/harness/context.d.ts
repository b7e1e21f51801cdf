import type { HarnessContext } from "./server.ts";

declare module "vitest" {
  interface ProvidedContext {
    harness: HarnessContext;
  }
}
