import { readFileSync } from "node:fs";
import fc from "fast-check";
import {
  buildSchema,
  type GraphQLArgument,
  type GraphQLField,
  type GraphQLInputType,
  getNamedType,
  isEnumType,
  isInputObjectType,
  isLeafType,
  isListType,
  isNonNullType,
} from "graphql";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { hostileRequest, hostileText, tries } from "../harness/hostile.ts";
import { inside, rawRequest, statusOf } from "../harness/raw-request.ts";
import { serveTwoTenants } from "./world.ts";

const { api, as, mine } = await serveTwoTenants();
const minutes = 60_000;

const known = [mine.appId, crypto.randomUUID(), "00000000-0000-0000-0000-000000000000"];
const scalars: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  String: hostileText,
  ID: hostileText,
  Cursor: hostileText,
  UUID: fc.oneof(fc.constantFrom(...known), hostileText),
  Int: fc.constantFrom(0, 1, -1, 2_147_483_647, -2_147_483_648, 1e12, 0.5, "1"),
  Float: fc.oneof(fc.double(), fc.constantFrom(1e308, -0)),
  Boolean: fc.oneof(fc.boolean(), fc.constant("true")),
  BigInt: fc.constantFrom("0", "-1", "9223372036854775807", "1e3", "x", 5, "1".repeat(400)),
  BigFloat: fc.constantFrom("0", "-1", "NaN", "Infinity", "1e37", "1e400", "x", 0.1),
  Date: fc.constantFrom("2026-02-30", "infinity", "294276-12-31", "x", "-0001-01-01"),
  Datetime: fc.constantFrom(
    ...["2026-01-01T00:00:00Z", "infinity", "-infinity", "294276-12-31T23:59:59Z", "x"],
    ...["2026-01-01T00:00:00+99:99", "0000-00-00T00:00:00Z"],
  ),
  Duration: fc.constantFrom("PT1M", "P1Y361D", "-PT1M", "P", "PT99999999999S", "x", "P1M-29D"),
  InternetAddress: fc.constantFrom("::1", "1.2.3.4/33", "x", ""),
  JSON: fc.jsonValue(),
};

/** Values of a type, as a variable takes them; what must be there is mostly there. */
function valuesOf(type: GraphQLInputType, depth = 0): fc.Arbitrary<unknown> {
  if (isNonNullType(type)) return valuesOf(type.ofType, depth);
  if (isListType(type)) {
    return fc.oneof(fc.array(valuesOf(type.ofType, depth), { maxLength: 3 }), fc.constant({}));
  }
  if (isEnumType(type)) return fc.constantFrom(...type.getValues().map(({ name }) => name), "X");
  if (!isInputObjectType(type)) return scalars[getNamedType(type).name] ?? fc.anything();
  const fields = Object.values(type.getFields());
  const isTooDeep = ({ type: of }: { type: GraphQLInputType }) =>
    depth > 2 && !isLeafType(getNamedType(of));
  const wanted = fields.filter((field) => isNonNullType(field.type) || !isTooDeep(field));
  return fc.record(
    Object.fromEntries(wanted.map(({ name, type: of }) => [name, valuesOf(of, depth + 1)])),
    { requiredKeys: wanted.filter((field) => isNonNullType(field.type)).map(({ name }) => name) },
  );
}

const schema = buildSchema(readFileSync(projectPath("schema.graphql"), "utf8"));
/** These end the sessions that ask. */
const leaving = /^logout|^revokeSession|^changePassword|SecondFactor/;
const fields = (["query", "mutation"] as const).flatMap((kind) => {
  const type = kind === "query" ? schema.getQueryType() : schema.getMutationType();
  return Object.values(type?.getFields() ?? {})
    .filter(({ name }) => !leaving.test(name))
    .map((field) => [field.name, kind, field] as const);
});

function operation(kind: string, { name, args, type }: GraphQLField<unknown, unknown>): string {
  const given = args.map((arg: GraphQLArgument) => `${arg.name}: $${arg.name}`).join(", ");
  const declared = args.map((arg: GraphQLArgument) => `$${arg.name}: ${arg.type}`).join(", ");
  const call = `${name}${given && `(${given})`}${isLeafType(getNamedType(type)) ? "" : " { __typename }"}`;
  return `${kind}${declared && ` (${declared})`} { ${call} }`;
}

test("the list of fields is whole", () => {
  expect(fields.length).toBeGreaterThan(100);
});

test(
  "every field answers hostile arguments with an error of its own",
  async () => {
    const faults: string[] = [];
    for (const [name, kind, field] of fields) {
      const query = operation(kind, field);
      const values = fc.record(
        Object.fromEntries(field.args.map((arg) => [arg.name, valuesOf(arg.type)])),
      );
      for (const variables of fc.sample(values, tries(1))) {
        const answer = await as.system_admin.ask(query, variables as Record<string, unknown>);
        const { status, errors = [] } = answer;
        const isFault = errors.some(({ extensions }) => !/^QS4\d\d$/.test(extensions.code));
        if (status >= 500 || isFault || inside.test(JSON.stringify(errors))) {
          faults.push(`${name} ${JSON.stringify(variables)}: ${JSON.stringify(errors)}`);
        }
      }
    }
    expect(faults).toEqual([]);
  },
  20 * minutes,
);

const requests = hostileRequest({
  targets: [
    ...["/graphql", "/healthz", "/readyz", "/metrics", "/export/metrics.csv", "/export/audit.csv"],
    ...["/export/", "/graphql?query={__typename}", "/export/metrics.csv?since=x&until=", "/"],
  ],
  headers: [
    ...["Authorization: ", "Authorization: Bearer ", "Authorization: Bearer a.b.c", "Origin: "],
    ...["Content-Type: application/json", "Content-Type: text/plain", "Content-Type: ", "Cookie: "],
    ...[
      "X-Forwarded-For: ",
      "X-Request-Id: ",
      "Accept: ",
      "Accept-Encoding: ",
      "Content-Encoding: gzip",
    ],
  ],
  bodies: [
    ...['{"query":"{ viewer { email } }"}', '{"query":1}', '{"query":"{"}', "null", "[", "query=x"],
    ...[`{"query":"${"{a".repeat(2_000)}"}`, '{"query":"{__typename}","variables":[]}', "\0"],
    ...['{"query":"query Q { a } query R { b }","operationName":{}}', '{"id":"x"}'],
  ],
});

test.each(["", ",", "*", "a/b,", "text/html;q=2", "text/html;q=x", 'a/b;c="d', "*/*;q=0.1,\t;"])(
  "an Accept header that cannot be read says nothing: %o",
  async (accept) => {
    const body = '{"query":"{ __typename }"}';
    const answer = await rawRequest(
      api.url,
      [
        ...["POST /graphql HTTP/1.1", "Host: here", "Connection: close", `Accept: ${accept}`],
        ...["Content-Type: application/json", `Content-Length: ${body.length}`, "", body],
      ].join("\r\n"),
    );
    expect(statusOf(answer)).toBe(200);
    expect(answer).toContain('"__typename":"Query"');
  },
);

test(
  "no bytes of a request bring a fault, the inside of the program, or its end",
  async () => {
    await fc.assert(
      fc.asyncProperty(requests, async (bytes) => {
        const answer = await rawRequest(api.url, bytes);
        expect(statusOf(answer) ?? 400).toBeLessThan(500);
        expect(answer).not.toMatch(inside);
      }),
      tries(150),
    );
    expect((await api.nobody.fetch("/readyz")).status).toBe(200);
  },
  20 * minutes,
);
