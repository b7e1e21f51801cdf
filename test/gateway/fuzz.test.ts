import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { makeWorld } from "../client/world.ts";
import { hostileRequest, tries } from "../harness/hostile.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { rawRequest, statusOf } from "../harness/raw-request.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("a gateway", async () => {
  const database = await createDatabase();
  const { apiKey } = await makeWorld(database);
  const { nginx } = missing === undefined ? await startGateway(database) : (undefined as never);

  const signed = (id: string) =>
    `Authorization: AWS4-HMAC-SHA256 Credential=${id}/20260101/r/s3/aws4_request, SignedHeaders=host, Signature=`;
  const requests = hostileRequest({
    targets: [
      ...[
        "/bucket/object",
        "/bucket?delete",
        "/bucket?list-type=2",
        "/bucket/o?uploadId=1&partNumber=",
      ],
      ...["/", "/bucket/%zz", "/bucket?X-Amz-Credential=", "/metrics", "/healthz", "/readyz"],
    ],
    headers: [
      ...[
        `X-Api-Key: ${apiKey}`,
        "X-Api-Key: ",
        signed(apiKey),
        signed("AKIA"),
        "Authorization: AWS ",
      ],
      ...["Authorization: ", "Content-Type: application/xml", "Content-MD5: ", "x-amz-date: "],
      ...["x-amz-decoded-content-length: ", "x-amz-copy-source: ", "Referer: ?", "Range: bytes=0-"],
    ],
    bodies: [
      ...[
        "<Delete><Object><Key>a</Key></Object></Delete>",
        "<Delete>",
        `${"<Object>".repeat(1_000)}`,
      ],
      ...["\0", "a".repeat(5_000), "5;chunk-signature=x\r\nhello\r\n0\r\n\r\n"],
    ],
  });

  test("answers no bytes of a request with a fault, and none of its Lua fails", async () => {
    await fc.assert(
      fc.asyncProperty(requests, async (bytes) => {
        const answer = await rawRequest(nginx.url, bytes);
        // 501 is nginx's own of a Transfer-Encoding that it does not know.
        expect([500, 502, 504]).not.toContain(statusOf(answer));
      }),
      tries(150),
    );
    // A line of the log that comes after any other.
    expect(
      await rawRequest(
        nginx.url,
        "PUT /marker HTTP/1.1\r\nHost: h\r\nContent-Length: 6000000000\r\nConnection: close\r\n\r\n",
      ),
    ).toContain(" 413 ");
    await eventually(() => expect(nginx.log()).toContain("/marker"));
    expect(nginx.log()).not.toMatch(/runtime error|stack traceback|\[(alert|emerg|crit)\]/);
  }, 600_000);
});
