import type pg from "pg";
import "postgraphile/grafast";
import {
  type DocumentNode,
  type ExecutionResult,
  type FragmentDefinitionNode,
  GraphQLError,
  Kind,
  print,
  type SelectionSetNode,
} from "postgraphile/graphql";
import { ApiError, notSignedIn } from "../api-error.ts";
import { camelKeys } from "../camel-keys.ts";
import type { Identity } from "../identity/access-token.ts";
import type { ApiRequest } from "../request.ts";
import type { Claim, KeptAnswers } from "../requests/kept-answers.ts";
import { inOneTransaction, type RequestTransaction } from "../requests/one-transaction.ts";
import { enumName } from "./enums.ts";
import { operationOf } from "./limits.ts";
import { signInMutations } from "./sign-in-plugin.ts";

export interface OneTransactionParts {
  readonly pool: pg.Pool;
  readonly answers: KeptAnswers;
}

interface ContextValue {
  readonly apiRequest: ApiRequest;
  readonly pgSettings: Readonly<Record<string, string>>;
}

interface Asked {
  readonly document: DocumentNode;
  readonly operationName?: string | null | undefined;
  readonly variableValues?: unknown;
}

const maxChanges = 1_000;
const goodKey = /^[!-~]{1,255}$/;

/**
 * A change with the header Idempotency-Key is made once, however often it is sent; one with
 * X-Dry-Run: true says what it would change, and changes nothing. Both make all of a request one
 * transaction, which any error undoes.
 */
export function oneTransactionPlugin(parts: OneTransactionParts): GraphileConfig.Plugin {
  return {
    name: "QosOneTransactionPlugin",
    version: "1.0.0",
    grafast: {
      middleware: {
        async execute(next, { args }) {
          const { apiRequest, pgSettings } = args.contextValue as unknown as ContextValue;
          const { identity, idempotencyKey, isDryRun } = apiRequest;
          if (idempotencyKey === undefined && !isDryRun) return next();
          const operation = operationOf(args.document, args.operationName);
          if (operation?.operation !== "mutation") return next();
          const execute = async () => (await next()) as ExecutionResult;
          try {
            refuseSignIn(args.document, operation.selectionSet);
            if (identity === undefined) throw notSignedIn();
            if (isDryRun) return await tried(parts, pgSettings, execute);
            const claim = claimOf(identity, idempotencyKey, args);
            return await madeOnce(parts, pgSettings, claim, execute);
          } catch (error) {
            const { message } = error as Error;
            return { errors: [new GraphQLError(message, { originalError: error as Error })] };
          }
        },
      },
    },
  };
}

type Execute = () => Promise<ExecutionResult>;

function madeOnce(
  { pool, answers }: OneTransactionParts,
  settings: ContextValue["pgSettings"],
  claim: Claim,
  execute: Execute,
): Promise<ExecutionResult> {
  return inOneTransaction(pool, settings, async (transaction) => {
    const { client } = transaction;
    const before = await answers.claim(client, claim);
    if (before !== undefined) {
      const result = { ...JSON.parse(before), extensions: { isRepeated: true } };
      return { result, commit: false };
    }
    const result = await transaction.run(execute);
    const commit = result.errors === undefined;
    if (commit) {
      await transaction.complete();
      await transaction.becomeLogin();
      await answers.keep(client, claim, JSON.stringify({ data: result.data }));
    }
    return { result, commit };
  });
}

function tried(
  { pool }: OneTransactionParts,
  settings: ContextValue["pgSettings"],
  execute: Execute,
): Promise<ExecutionResult> {
  return inOneTransaction(pool, settings, async (transaction) => {
    const result = await transaction.run(execute);
    const changes = result.errors === undefined ? await changesOf(transaction) : [];
    const extensions = { ...result.extensions, isDryRun: true, changes };
    return { result: { ...result, extensions }, commit: false };
  });
}

/** In the words of the audit, whose rows of this request go as all else does. */
async function changesOf({ client, complete, becomeLogin }: RequestTransaction) {
  await complete();
  await becomeLogin();
  const { rows } = await client.query(
    `select action, entity_type as "entityType", entity_id as "entityId",
       old_values as "oldValues", new_values as "newValues"
     from rate_limiter_private.changes_of_transaction($1)`,
    [maxChanges],
  );
  return rows.map(({ oldValues, newValues, ...row }) => ({
    ...row,
    action: enumName("AuditAction", row.action),
    entityType: enumName("AuditEntityType", row.entityType),
    oldValues: camelKeys(oldValues, 1),
    newValues: camelKeys(newValues, 1),
  }));
}

/** Of two tokens of an account, one may be allowed less than what the other one was answered. */
function claimOf({ userId, serviceTokenId }: Identity, key = "", asked: Asked): Claim {
  if (!goodKey.test(key)) throw malformedKey();
  return { userId, key, request: JSON.stringify([fingerprint(asked), serviceTokenId ?? null]) };
}

function fingerprint({ document, operationName, variableValues }: Asked) {
  return [print(document), operationName ?? null, variableValues ?? {}];
}

/** Passwords are hashed, and sessions made, on connections of their own. */
function refuseSignIn(document: DocumentNode, selectionSet: SelectionSetNode): void {
  const fragments = new Map(
    document.definitions
      .filter((node): node is FragmentDefinitionNode => node.kind === Kind.FRAGMENT_DEFINITION)
      .map((node) => [node.name.value, node.selectionSet]),
  );
  if (!rootFields(selectionSet, fragments).some((name) => signInMutations.has(name))) return;
  const hint = "Send it by itself, without Idempotency-Key and X-Dry-Run.";
  throw new ApiError("QS400", "mutation is not made in one transaction", hint);
}

function rootFields(
  { selections }: SelectionSetNode,
  fragments: ReadonlyMap<string, SelectionSetNode>,
): string[] {
  return selections.flatMap((node) => {
    if (node.kind === Kind.FIELD) return [node.name.value];
    if (node.kind === Kind.INLINE_FRAGMENT) return rootFields(node.selectionSet, fragments);
    const inner = fragments.get(node.name.value);
    return inner === undefined ? [] : rootFields(inner, fragments);
  });
}

function malformedKey(): ApiError {
  const hint = "Send 1 to 255 visible ASCII characters, such as a random UUID.";
  return new ApiError("QS400", "idempotency key is malformed", hint);
}
