import { oneOf } from "./kinds.ts";

const levels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

export const loggingDeclaration = {
  level: oneOf("LOG_LEVEL", levels, {
    says: `least that is logged, of ${levels.join(", ")}; \`debug\` logs each job with its id, attempt and duration`,
    usual: "info",
  }),
};
