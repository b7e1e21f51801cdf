/**
 * Which operation a request is: the gateway's own rules (src/gateway/lua/qos/operations/operation_map.lua), which
 * test/conformance/operations.test.ts holds these to. The first that fits counts.
 */
interface Rule {
  readonly method?: string;
  /** Of "/" and "/bucket" alone. */
  readonly isBucket?: true;
  /** An argument that must be there. */
  readonly query?: string;
  readonly operation: string;
  /** Reads and writes have a class by size. */
  readonly hasClass?: true;
  /** "down": the bytes of the answer are charged, and say the class. */
  readonly transfers?: "down" | "up";
  readonly countsKeys?: true;
}

const rules: readonly Rule[] = [
  { method: "GET", isBucket: true, operation: "list", transfers: "down" },
  { method: "GET", operation: "read", hasClass: true, transfers: "down" },
  { method: "HEAD", operation: "head" },
  { method: "OPTIONS", operation: "head" },
  {
    ...{ method: "POST", isBucket: true, query: "delete", operation: "delete" },
    ...{ transfers: "up", countsKeys: true },
  },
  { method: "PUT", operation: "write", hasClass: true, transfers: "up" },
  { method: "POST", operation: "write", hasClass: true, transfers: "up" },
  { method: "PATCH", operation: "write", hasClass: true, transfers: "up" },
  { method: "COPY", operation: "write", hasClass: true, transfers: "up" },
  { method: "DELETE", operation: "delete" },
  { operation: "head" },
];

const smallUpTo = 4_096n;
const mediumUpTo = 65_536n;

export type RequestRule = Rule;

export function ruleOf(method: string, path: string, query: string | undefined): Rule {
  const names = query === undefined ? [] : [...new URLSearchParams(query).keys()];
  const fits = (rule: Rule) =>
    (rule.method === undefined || rule.method === method) &&
    (rule.isBucket === undefined || isBucket(path)) &&
    (rule.query === undefined || names.includes(rule.query));
  return rules.find(fits) as Rule;
}

/** The operation's name, by its size where it has classes. */
export function operationOf({ operation, hasClass }: Rule, size: bigint): string {
  if (hasClass === undefined) return operation;
  if (size <= smallUpTo) return `${operation}_small`;
  return size <= mediumUpTo ? `${operation}_medium` : `${operation}_large`;
}

function isBucket(path: string): boolean {
  const slash = path.indexOf("/", 1);
  return slash < 0 || slash === path.length - 1;
}
