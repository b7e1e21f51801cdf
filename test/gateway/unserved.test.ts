import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("errors of nginx itself", async () => {
  const database = await createDatabase();
  const away = (text: string) => text.replaceAll("http://storage", "http://127.0.0.1:9");
  const { nginx } =
    missing === undefined ? await startGateway(database, {}, { edit: away }) : (undefined as never);
  const world = await makeWorld(database);

  async function ask(request: string, headers: readonly string[]): Promise<string> {
    const socket = connect(nginx.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write(`${[request, "Host: h", ...headers].join("\r\n")}\r\n\r\n`);
    socket.setTimeout(30_000, () => socket.destroy());
    return text(socket);
  }

  const key = `X-API-Key: ${world.apiKey}`;
  const long = "x".repeat(9_000);

  test.each<[string, string, string[], string]>([
    ["400", "GET /b/%zz HTTP/1.1", [], "InvalidRequest"],
    ["400", "GET /b/o HTTP/1.1", [`X-Long: ${long}`], "RequestHeaderSectionTooLarge"],
    ["400", "PUT /b/o HTTP/1.1", [key, "Content-Length: x"], "InvalidRequest"],
    ["400", "PUT /b/o HTTP/1.1", [key, "Transfer-Encoding: chunked", "", "ZZ"], "InvalidRequest"],
    ["405", "TRACE /b/o HTTP/1.1", [key], "MethodNotAllowed"],
    ["413", "PUT /b/o HTTP/1.1", [key, "Content-Length: 6000000000"], "EntityTooLarge"],
    ["414", `GET /b/${long} HTTP/1.1`, [], "InvalidURI"],
    ["501", "PUT /b/o HTTP/1.1", [key, "Transfer-Encoding: other"], "NotImplemented"],
    ["502", "GET /b/o HTTP/1.1", [key], "ServiceUnavailable"],
    ["502", "GET /b/o?a=1&b%41=1 HTTP/1.1", [key], "ServiceUnavailable"],
  ])("%s are S3's XML where S3 is spoken: %s", async (status, request, headers, code) => {
    const answer = await ask(request, ["X-Amz-Date: x", ...headers, "Connection: close"]);
    expectS3(answer, status, code);
  });

  function expectS3(answer: string, status: string, code: string): void {
    expect(answer.slice(9, 12)).toBe(status);
    expect(answer).toMatch(/^Content-Type: application\/xml\r$/im);
    expect(answer).toMatch(
      new RegExp(
        `<Error><Code>${code}</Code><Message>[^<]+</Message><RequestId>[0-9a-f]{32}</RequestId></Error>$`,
      ),
    );
  }

  test("are problem+json else, and have no body for HEAD", async () => {
    const answer = await ask("GET /b/o HTTP/1.1", [key, "Connection: close"]);
    expect(answer).toMatch(/^HTTP\/1.1 502 /);
    expect(answer).toMatch(/^Content-Type: application\/problem\+json\r$/im);
    const head = await ask("HEAD /b/o HTTP/1.1", [key, "X-Amz-Date: x", "Connection: close"]);
    expect(head).toMatch(/^HTTP\/1.1 502 [\s\S]*\r\n\r\n$/);
  });

  test("are not to be had by their own address", async () => {
    const answer = await ask("GET /.qos/unserved HTTP/1.1", [key, "Connection: close"]);
    expect(answer).not.toMatch(/^HTTP\/1.1 200 /);
  });
});
