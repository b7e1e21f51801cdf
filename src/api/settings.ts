import type { Address, AddressSettings } from "../http/address.ts";
import { apiDeclaration } from "../settings/api.ts";
import { readSettings } from "../settings/read-settings.ts";
import type { SettingsOf } from "../settings/setting.ts";
import { type OidcSettings, oidcSettings } from "./identity/oidc-settings.ts";

/** What the environment says of the API. */
export interface ApiSettings extends SettingsOf<typeof apiDeclaration> {
  readonly production: boolean;
  /** An IDE for queries. */
  readonly ide: boolean;
  /** The page for people. */
  readonly console: boolean;
  readonly introspection: boolean;
  readonly oidc: OidcSettings | undefined;
}

export function apiSettings(env: NodeJS.ProcessEnv = process.env): ApiSettings {
  const settings = readSettings(env, apiDeclaration);
  const production = settings.nodeEnv === "production";
  return {
    ...settings,
    production,
    ide: settings.ide ?? !production,
    console: settings.console ?? true,
    introspection: settings.introspection ?? !production,
    oidc: oidcSettings(env),
  };
}

/** The settings that say where callers reach the API. */
export const addressSettings: AddressSettings = apiDeclaration;

export const metricsAddressSettings: AddressSettings = {
  host: apiDeclaration.metricsHost,
  port: apiDeclaration.metricsPort,
};

/** Where the API serves its metrics; nowhere unless a port is set. Never where callers reach it. */
export function metricsAddress({ metricsHost, metricsPort }: ApiSettings): Address | undefined {
  return metricsPort === undefined ? undefined : { host: metricsHost, port: metricsPort };
}
