import { type ApiClient, ApiRefusal } from "./api-client.ts";

interface Found {
  readonly tenants: {
    readonly nodes: readonly {
      readonly tenantId: string;
      readonly applications: { readonly nodes: readonly { readonly appId: string }[] };
    }[];
  };
}

const query = `query ($tenant: String!, $application: String!) {
  tenants(first: 1, filter: { name: { equalTo: $tenant } }) {
    nodes {
      tenantId
      applications(first: 1, filter: { name: { equalTo: $application } }) { nodes { appId } }
    }
  }
}`;

async function find(client: ApiClient, tenant: string, application = "") {
  const { tenants } = await client.ask<Found>(query, { tenant, application });
  return tenants.nodes[0];
}

export async function applicationId(
  client: ApiClient,
  [tenant = "", application = ""]: readonly string[],
): Promise<string> {
  const [found] = (await find(client, tenant, application))?.applications.nodes ?? [];
  if (found !== undefined) return found.appId;
  throw unknown("application", `${application} of ${tenant}`);
}

export async function tenantId(client: ApiClient, tenant: string): Promise<string> {
  const found = await find(client, tenant);
  if (found !== undefined) return found.tenantId;
  throw unknown("tenant", tenant);
}

/** As the database says it. */
export function unknown(kind: string, name: string): ApiRefusal {
  return new ApiRefusal({
    message: `unknown ${kind}`,
    extensions: {
      ...{ code: "QS404", detail: `${kind}: ${name}` },
      hint: "Check the name, or have the configuration make it.",
    },
  });
}
