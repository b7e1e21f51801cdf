import {
  type ArgumentNode,
  type DocumentNode,
  type FieldNode,
  type FragmentDefinitionNode,
  Kind,
  type OperationDefinitionNode,
  type SelectionSetNode,
  type ValueNode,
  visit,
} from "postgraphile/graphql";
import { ApiError } from "../api-error.ts";
import { membersOf } from "./bounded-document.ts";

export interface Limits {
  readonly maxDepth: number;
  readonly maxCost: number;
  readonly maxPageSize: number;
}

/** Each is a separate statement, possibly a slow one; aliases must not multiply them. */
const costOfRootField = 500;

/** Rows that are counted, ordered or searched are read, though they are not answered. */
const costOfReading = 500;
const costOfReadingEach = 5;

/** How many a list of the schema has, about: introspection answers all of them. */
const listsOfSchema: Readonly<Record<string, number>> = {
  ...{ types: 400, fields: 12, inputFields: 6, possibleTypes: 4, interfaces: 2 },
  ...{ enumValues: 6, args: 3, directives: 6 },
};
/** The usual introspection query comes to a third of it. */
const maxIntrospectionCost = 1_000_000;

/** Fragments of fragments multiply the fields that this has to look at. */
const maxSelectionsLookedAt = 50_000;

/** What the query of one request may ask for. */
interface Budget extends Limits {
  readonly fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly variables: Readonly<Record<string, unknown>>;
  /** Pages whose size was left out. */
  readonly unsized: Set<FieldNode>;
  cost: number;
  introspectionCost: number;
  lookedAt: number;
}

/** Rows of a page whose size is left out. */
const defaultPageSize = 50;

/** Of one field: how deep it stands, and how often it will be answered. */
interface Place {
  readonly depth: number;
  readonly times: number;
}

/**
 * Refuses an operation that is too deep, or whose pages multiply to too many fields. Every field
 * counts once for each row that it may be answered for. Runs before validation, which is slow
 * for large documents: only the syntax is known to be valid. Answers the document, with a size
 * for each page that has none.
 */
export function checkLimits(
  document: DocumentNode,
  operationName: string | null | undefined,
  variables: Readonly<Record<string, unknown>>,
  limits: Limits,
): DocumentNode {
  const operation = operationOf(document, operationName);
  if (operation === undefined) return document;
  const budget: Budget = {
    ...limits,
    fragments: fragmentsOf(document),
    variables: { ...defaultsOf(operation), ...variables },
    unsized: new Set(),
    cost: 0,
    introspectionCost: 0,
    lookedAt: 0,
  };
  spend(operation.selectionSet, { depth: 1, times: 1 }, budget);
  return budget.unsized.size === 0 ? document : withSizes(document, budget);
}

function withSizes(document: DocumentNode, { unsized, maxPageSize }: Budget): DocumentNode {
  const value = String(Math.min(defaultPageSize, maxPageSize));
  const first: ArgumentNode = {
    kind: Kind.ARGUMENT,
    name: { kind: Kind.NAME, value: "first" },
    value: { kind: Kind.INT, value },
  };
  return visit(document, {
    Field: (field) =>
      unsized.has(field) ? { ...field, arguments: [...(field.arguments ?? []), first] } : undefined,
  });
}

/** The operation that a request asks for, as far as it names one that is there. */
export function operationOf(document: DocumentNode, name: string | null | undefined) {
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
  for (const field of fieldsOf(set, budget)) spendField(field, place, budget);
}

/** The fields that a selection comes down to, through its fragments. */
function fieldsOf(
  { selections }: SelectionSetNode,
  budget: Budget,
  within: readonly string[] = [],
): FieldNode[] {
  budget.lookedAt += selections.length;
  if (budget.lookedAt > maxSelectionsLookedAt) throw tooCostly(budget);
  return selections.flatMap((node) => {
    if (node.kind === Kind.FIELD) return [node];
    // Fragments of fragments can multiply as pages do.
    charge(1, budget);
    if (node.kind === Kind.INLINE_FRAGMENT) return fieldsOf(node.selectionSet, budget, within);
    const name = node.name.value;
    const fragment = budget.fragments.get(name);
    // Validation, which comes later, says what is wrong with an unknown or circular one.
    if (fragment === undefined || within.includes(name)) return [];
    return fieldsOf(fragment.selectionSet, budget, [...within, name]);
  });
}

function charge(cost: number, budget: Budget): void {
  budget.cost += cost;
  if (budget.cost > budget.maxCost) throw tooCostly(budget);
}

function spendField(field: FieldNode, { depth, times }: Place, budget: Budget): void {
  // Introspection reads no row, and nests more deeply.
  if (field.name.value.startsWith("__")) {
    introspect(field, 1, budget);
    return;
  }
  if (depth > budget.maxDepth) throw tooDeep(budget);
  charge(depth === 1 ? costOfRootField : times, budget);
  charge(costOfArguments(field, depth, times), budget);
  charge(costOfReadingEach * conditionsOf(field, budget), budget);
  if (field.selectionSet === undefined) return;
  const rows = pageSizeOf(field, field.selectionSet, budget) ?? 1;
  spend(field.selectionSet, { depth: depth + 1, times: times * rows }, budget);
}

/** A filter or an order reads more rows than are answered; a total reads all of them. */
function costOfArguments(field: FieldNode, depth: number, times: number): number {
  const each = depth === 1 ? costOfReading : costOfReadingEach * times;
  const { arguments: given = [], name } = field;
  if (name.value === "totalCount") return depth <= 2 ? costOfReading : costOfReadingEach * times;
  return each * given.filter((node) => /^(filter|orderBy)$/.test(node.name.value)).length;
}

/** Each value of a filter becomes a part of the statement, in a variable too. */
function conditionsOf({ arguments: given = [] }: FieldNode, { variables }: Budget): number {
  let conditions = 0;
  for (const node of given) {
    if (node.name.value !== "filter") continue;
    visit(node.value, {
      enter(inner) {
        if (inner.kind !== Kind.NAME) conditions += 1;
        if (inner.kind === Kind.VARIABLE) conditions += valuesWithin(variables[inner.name.value]);
      },
    });
  }
  return conditions;
}

function valuesWithin(value: unknown): number {
  return membersOf(value).reduce<number>((sum, member) => sum + 1 + valuesWithin(member), 0);
}

function introspect(field: FieldNode, times: number, budget: Budget, members = 1): void {
  budget.introspectionCost += times;
  if (budget.introspectionCost > maxIntrospectionCost) throw tooCostly(budget);
  if (field.selectionSet === undefined) return;
  const name = field.name.value;
  const isOfMembers = /^(fields|inputFields|possibleTypes|interfaces)$/.test(name);
  // Members of members: no tool asks for them, and they multiply without an end.
  const rows = (listsOfSchema[name] ?? 1) * (isOfMembers ? members : 1);
  for (const inner of fieldsOf(field.selectionSet, budget)) {
    introspect(inner, times * rows, budget, isOfMembers ? members * 30 : members);
  }
}

/** Undefined for a field that is not a page. */
function pageSizeOf(
  field: FieldNode,
  selectionSet: SelectionSetNode,
  budget: Budget,
): number | undefined {
  const size =
    argument(field, "first", budget) ??
    argument(field, "last", budget) ??
    lengthOf(field, "appIds", budget);
  if (size !== undefined && size > budget.maxPageSize) throw pageTooLarge(budget);
  if (size !== undefined) return Math.max(size, 1);
  if (!asksForRows(selectionSet, budget)) return undefined;
  if (isNamed(field, "first") || isNamed(field, "last")) throw pageWithoutSize(budget);
  budget.unsized.add(field);
  return Math.min(defaultPageSize, budget.maxPageSize);
}

/** A connection, whatever its name: these occur nowhere else. Cursors are read from rows as well. */
function asksForRows(selectionSet: SelectionSetNode, budget: Budget): boolean {
  return fieldsOf(selectionSet, budget).some(({ name }) => /^(nodes|pageInfo)$/.test(name.value));
}

/** Given as null, or as a variable that is not there. */
function isNamed(field: FieldNode, argumentName: string): boolean {
  return field.arguments?.some(({ name }) => name.value === argumentName) ?? false;
}

function argument(field: FieldNode, name: string, { variables }: Budget): number | undefined {
  const found = field.arguments?.find((node: ArgumentNode) => node.name.value === name);
  return found && numberOf(found.value, variables);
}

/** Of a list of ids, which are answered one by one. */
function lengthOf(field: FieldNode, name: string, { variables }: Budget): number | undefined {
  const value = field.arguments?.find((node) => node.name.value === name)?.value;
  if (value?.kind === Kind.LIST) return value.values.length;
  const given = value?.kind === Kind.VARIABLE ? variables[value.name.value] : undefined;
  return Array.isArray(given) ? given.length : undefined;
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
  const hint = `Give first or last a number, ${maxPageSize} at most, or leave both out.`;
  return new ApiError("QS400", "page has no size", hint);
}
