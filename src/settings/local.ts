import { port, secret, text } from "./kinds.ts";

/** What `npm start` and the commands beside it take from their environment. */
export const localDeclaration = {
  databaseUrl: secret("DATABASE_URL", {
    says: "use this server (PostgreSQL 15 or newer) instead",
    usually: "the embedded server",
  }),
  dataFolder: text("QOS_DATA_FOLDER", {
    says: "where the embedded server, its passwords (`pgpass`) and the log (`storage-qos.log`) lie",
    usually: "`.data/`",
  }),
  postgresPort: port("QOS_POSTGRES_PORT", {
    says: "port of the embedded server",
    usually: "54329, or a free one",
    least: 1,
  }),
  apiKey: secret("QOS_API_KEY", {
    says: "the key that `check` and `consume` below decide by",
    usually: "the demo's key",
  }),
  adminPassword: secret("QOS_ADMIN_PASSWORD", {
    says: "the password that `create-admin` and `reset-password` set",
    usually: "made at random",
  }),
  apiUrl: text("QOS_URL", {
    says: "have the [commands that manage](docs/configuration.md#by-the-api) ask this admin API",
    usually: "the database",
  }),
  apiToken: secret("QOS_TOKEN", { says: "the token that they ask it with" }),
  profile: text("QOS_PROFILE", {
    says: "the profile that says where the API or the database is",
    usually: "the one in use",
  }),
  operator: text("QOS_OPERATOR", {
    says: "the address of the system administrator in whose name a database is managed",
    usually: "the only one",
  }),
};
