import type { Change } from "../../configuration/change.ts";
import type { Configuration } from "../../configuration/configuration.ts";
import { refusalOf } from "../../configuration/refusal.ts";
import { wantedObjects } from "../../configuration/wanted-objects.ts";
import type { ApplyOptions, StandingObject } from "../management.ts";
import type { ApiClient } from "./api-client.ts";
import { everyRow, pageSize } from "./pages.ts";

const standing = `query ($first: Int!, $offset: Int!) {
  configuration(first: $first, offset: $offset) { kind path spec managedBy }
}`;

const compared = `query (
  $wanted: JSON!, $managedBy: String, $prune: Boolean!, $first: Int!, $offset: Int!
) {
  compareConfiguration(
    wanted: $wanted, managedBy: $managedBy, prune: $prune, first: $first, offset: $offset
  ) { entry action kind path before after manager }
}`;

const applied = `mutation ($input: ApplyConfigurationInput!) {
  applyConfiguration(input: $input) {
    results { entry action kind path before after }
  }
}`;

type Standing = Omit<StandingObject, "managed_by"> & { readonly managedBy: string | null };

export async function readConfiguration(client: ApiClient): Promise<readonly StandingObject[]> {
  const rows = await everyRow(async (offset) => {
    const variables = { first: pageSize, offset };
    return (await client.ask<{ configuration: Standing[] }>(standing, variables)).configuration;
  });
  return rows.map(({ managedBy, ...object }) => ({ ...object, managed_by: managedBy }));
}

export function compareConfiguration(
  client: ApiClient,
  configuration: Configuration,
  prune: boolean,
): Promise<readonly Change[]> {
  const { managedBy } = configuration;
  return everyRow(async (offset) => {
    const page = { first: pageSize, offset };
    const variables = { wanted: asText(configuration), managedBy, prune, ...page };
    type Answer = { compareConfiguration: ApiChange[] };
    return (await client.ask<Answer>(compared, variables)).compareConfiguration.map(changeOf);
  });
}

export async function applyConfiguration(
  client: ApiClient,
  configuration: Configuration,
  { reason, prune, takeOver, isRehearsal = false }: ApplyOptions,
): Promise<readonly Change[]> {
  const { managedBy } = configuration;
  const input = { wanted: asText(configuration), reason, managedBy, prune, takeOver };
  type Answer = { applyConfiguration: { results: ApiChange[] } };
  try {
    const answer = await client.ask<Answer>(applied, { input }, { isRehearsal });
    return answer.applyConfiguration.results.map(changeOf);
  } catch (error) {
    throw refusalOf(error, configuration) ?? error;
  }
}

type ApiChange = Omit<Change, "action"> & { readonly action: Uppercase<Change["action"]> };

function changeOf({ action, ...change }: ApiChange): Change {
  return { ...change, action: action.toLowerCase() as Change["action"] };
}

/** The API counts the values of a query, and text is one. */
function asText(configuration: Configuration): string {
  return JSON.stringify(wantedObjects(configuration));
}
