import {
  type ArgumentNode,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  type ValueNode,
} from "postgraphile/graphql";
import { ApiError } from "../api-error.ts";

export interface Limits {
  readonly maxDepth: number;
  readonly maxCost: number;
  readonly maxPageSize: number;
}

/** What the query of one request may ask for. */
interface Budget extends Limits {
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly variables: Readonly<Record<string, unknown>>;
  cost: number;
}

/** Of one field: how deep it stands, and how often it will be answered. */
interface Place {
  readonly depth: number;
  readonly times: number;
}

/**
 * Refuses an operation that is too deep, or whose pages multiply to too many fields. Every field
 * counts once for each row that it may be answered for. Runs after validation: fragments exist
 * and form no circle.
 */
export function checkLimits(
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Readonly<Record<string, unknown>>,
  limits: Limits,
): void {
  const operation = operationOf(document, operationName);
  if (operation === undefined) return;
  const budget: Budget = {
    ...limits,
    fragments: fragmentsOf(document),
    variables: { ...defaultsOf(operation), ...variables },
    cost: 0,
  };
  spend(operation.selectionSet, { depth: 1, times: 1 }, budget);
}

function operationOf(document: DocumentNode, name: string | null | undefined) {
  return document.definitions.find(
    (node): node is OperationDefinitionNode =>
      node.kind === Kind.OPERATION_DEFINITION && (!name || node.name?.value === name),
  );
}

function fragmentsOf(document: DocumentNode): Map<string, FragmentDefinitionNode> {
  const fragments = document.definitions.filter((node) => node.kind === Kind.FRAGMENT_DEFINITION);
  return new Map(fragments.map((node) => [node.name.value, node]));
}

function defaultsOf({ variableDefinitions = [] }: OperationDefinitionNode) {
  return Object.fromEntries(
    variableDefinitions.map((node) => [
      node.variable.name.value,
      node.defaultValue && numberOf(node.defaultValue, {}),
    ]),
  );
}

function spend(set: SelectionSetNode, place: Place, budget: Budget): void {
  for (const selection of set.selections) {
    switch (selection.kind) {
      case Kind.FIELD:
        spendField(selection, place, budget);
        break;
      case Kind.INLINE_FRAGMENT:
        spend(selection.selectionSet, place, budget);
        break;
      case Kind.FRAGMENT_SPREAD: {
        const fragment = budget.fragments.get(selection.name.value);
        if (fragment !== undefined) spend(fragment.selectionSet, place, budget);
      }
    }
  }
}

function spendField(field: FieldNode, { depth, times }: Place, budget: Budget): void {
  // Introspection is switched off as a whole or not at all, and reads no row.
  if (field.name.value.startsWith("__")) return;
  if (depth > budget.maxDepth) throw tooDeep(budget);
  budget.cost += times;
  if (budget.cost > budget.maxCost) throw tooCostly(budget);
  if (field.selectionSet === undefined) return;
  const rows = pageSizeOf(field, budget) ?? 1;
  spend(field.selectionSet, { depth: depth + 1, times: times * rows }, budget);
}

/** Undefined for a field that is no page. */
function pageSizeOf(field: FieldNode, budget: Budget): number | undefined {
  const size = argument(field, "first", budget) ?? argument(field, "last", budget);
  if (size !== undefined && size > budget.maxPageSize) throw pageTooLarge(budget);
  if (size === undefined && asksForRows(field)) throw pageWithoutSize(budget);
  return size === undefined ? undefined : Math.max(size, 1);
}

/** A connection, whatever its name: nodes and edges occur nowhere else. */
function asksForRows({ selectionSet }: FieldNode): boolean {
  return (selectionSet?.selections ?? []).some(
    (node) => node.kind === Kind.FIELD && ["nodes", "edges"].includes(node.name.value),
  );
}

function argument(field: FieldNode, name: string, { variables }: Budget): number | undefined {
  const found = field.arguments?.find((node: ArgumentNode) => node.name.value === name);
  return found && numberOf(found.value, variables);
}

function numberOf(value: ValueNode, variables: Readonly<Record<string, unknown>>) {
  if (value.kind === Kind.INT) return Number(value.value);
  const given = value.kind === Kind.VARIABLE ? variables[value.name.value] : undefined;
  return typeof given === "number" ? given : undefined;
}

function tooDeep({ maxDepth }: Limits): ApiError {
  return new ApiError("QS400", "query is too deep", `Nest no more than ${maxDepth} fields.`);
}

function tooCostly({ maxCost }: Limits): ApiError {
  const hint = `Ask for fewer fields or smaller pages: ${maxCost} values at most.`;
  return new ApiError("QS400", "query asks for too much", hint);
}

function pageTooLarge({ maxPageSize }: Limits): ApiError {
  const hint = `Ask for ${maxPageSize} rows at most, and for the next ones with after.`;
  return new ApiError("QS400", "page is too large", hint);
}

function pageWithoutSize({ maxPageSize }: Limits): ApiError {
  const hint = `Say how many rows with first or last, ${maxPageSize} at most.`;
  return new ApiError("QS400", "page has no size", hint);
}
