// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** All input for the create `CostRule` mutation. */
export type CreateCostRuleInput = {
  /** The application it is for. */
  appId: string;
  /** Tokens for the operation itself; null keeps the default. */
  cBaseOverride?: string | null | undefined;
  /** Tokens for each unit of size; null keeps the default. */
  cBwOverride?: string | null | undefined;
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  /** The operation it is about. */
  operationId: string;
  /** First moment it holds. */
  validFrom?: string | null | undefined;
  /** First moment it no longer holds; null where it has no end. */
  validTo?: string | null | undefined;
};

/** All input for the `deleteCostRule` mutation. */
export type DeleteCostRuleInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  /** The rule. */
  ruleId: string;
};

export type CostsQueryVariables = Exact<{
  appId: string;
}>;


export type CostsQuery = { operationTypes: { nodes: Array<{ operationId: string, name: string, category: string, description: string | null, isActive: boolean, cBase: string, cBw: string, unitQuantum: string } | null> } | null, application: { appId: string, costRules: { nodes: Array<{ ruleId: string, operationId: string, isActive: boolean, cBaseOverride: string | null, cBwOverride: string | null, validFrom: string, validTo: string | null } | null> } } | null };

export type CreateCostRuleMutationVariables = Exact<{
  input: CreateCostRuleInput;
}>;


export type CreateCostRuleMutation = { createCostRule: { costRule: { ruleId: string } | null } | null };

export type DeleteCostRuleMutationVariables = Exact<{
  input: DeleteCostRuleInput;
}>;


export type DeleteCostRuleMutation = { deleteCostRule: { costRule: { ruleId: string } | null } | null };

export const CostsDocument = `
query Costs($appId: UUID!) {
  operationTypes(first: 200, orderBy: [NAME_ASC]) {
    nodes {
      operationId
      name
      category
      description
      isActive
      cBase
      cBw
      unitQuantum
    }
  }
  application(appId: $appId) {
    appId
    costRules(first: 200, orderBy: [VALID_FROM_DESC]) {
      nodes {
        ruleId
        operationId
        isActive
        cBaseOverride
        cBwOverride
        validFrom
        validTo
      }
    }
  }
}
` as unknown as TypedDocumentNode<CostsQuery, CostsQueryVariables>;
export const CreateCostRuleDocument = `
mutation CreateCostRule($input: CreateCostRuleInput!) {
  createCostRule(input: $input) {
    costRule {
      ruleId
    }
  }
}
` as unknown as TypedDocumentNode<CreateCostRuleMutation, CreateCostRuleMutationVariables>;
export const DeleteCostRuleDocument = `
mutation DeleteCostRule($input: DeleteCostRuleInput!) {
  deleteCostRule(input: $input) {
    costRule {
      ruleId
    }
  }
}
` as unknown as TypedDocumentNode<DeleteCostRuleMutation, DeleteCostRuleMutationVariables>;
