import { oidcDeclaration } from "../../settings/api.ts";
import { readSettings } from "../../settings/read-settings.ts";
import { UserError } from "../../user-error.ts";

/** Tokens of an identity provider that are accepted beside the API's own. */
export interface OidcSettings {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl: string;
  /** The name of the tenant whose users sign in this way. */
  readonly tenant: string | undefined;
  /** The claim that names the user's tenant, instead. */
  readonly tenantClaim: string | undefined;
  /** The claim that names the user's groups, which roles are mapped to. */
  readonly groupsClaim: string | undefined;
}

export function oidcSettings(env: NodeJS.ProcessEnv): OidcSettings | undefined {
  const given = readSettings(env, oidcDeclaration);
  const { issuer, audience, jwksUrl, tenant, tenantClaim, groupsClaim } = given;
  const any = Object.values(given).some(Boolean);
  if (!any) return undefined;
  if (tenant && tenantClaim) {
    throw new UserError(
      "oidc_tenant_twice",
      "OIDC_TENANT and OIDC_TENANT_CLAIM exclude each other",
      "Set the one for a provider of one tenant, the other for a provider that names it.",
    );
  }
  if (issuer && audience && jwksUrl && URL.canParse(jwksUrl)) {
    if (!tenant && !tenantClaim) throw tenantMissing();
    return { issuer, audience, jwksUrl, tenant, tenantClaim, groupsClaim };
  }
  throw new UserError(
    "oidc_incomplete",
    "OIDC_ISSUER, OIDC_AUDIENCE and OIDC_JWKS_URL go together",
    "Set all three, or none to accept the API's own tokens alone.",
  );
}

function tenantMissing(): UserError {
  return new UserError(
    "oidc_tenant_missing",
    "neither OIDC_TENANT nor OIDC_TENANT_CLAIM is set",
    "Name the tenant of the provider's users, or the claim that names it: users of other tenants " +
      "may have the same address.",
  );
}
