// Written by npm run console:types, of the .graphql file beside it.
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";

/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** All input for the `setSetting` mutation. */
export type SetSettingInput = {
  /**
   * An arbitrary string value with no semantic meaning. Will be included in the
   * payload verbatim. May be used to track mutations by the client.
   */
  clientMutationId?: string | null | undefined;
  ifVersion?: number | null | undefined;
  key: string;
  value: string;
};

/** What the value of a setting is, which is written as a text. */
export type SettingType =
  | 'BOOLEAN'
  | 'INTEGER'
  | 'NUMERIC'
  | 'TEXT';

export type SettingsQueryVariables = Exact<{ [key: string]: never; }>;


export type SettingsQuery = { systemSettings: { nodes: Array<{ key: string, value: string, valueType: SettingType, description: string, choices: Array<string | null> | null, minimum: string | null, maximum: string | null, isSensitive: boolean, version: number, updatedAt: string } | null> } | null };

export type SetSettingMutationVariables = Exact<{
  input: SetSettingInput;
}>;


export type SetSettingMutation = { setSetting: { setting: { key: string, value: string, version: number } | null } | null };

export const SettingsDocument = `
query Settings {
  systemSettings(first: 200, orderBy: [KEY_ASC]) {
    nodes {
      key
      value
      valueType
      description
      choices
      minimum
      maximum
      isSensitive
      version
      updatedAt
    }
  }
}
` as unknown as TypedDocumentNode<SettingsQuery, SettingsQueryVariables>;
export const SetSettingDocument = `
mutation SetSetting($input: SetSettingInput!) {
  setSetting(input: $input) {
    setting {
      key
      value
      version
    }
  }
}
` as unknown as TypedDocumentNode<SetSettingMutation, SetSettingMutationVariables>;
