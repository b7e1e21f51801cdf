import { describe, expect, test } from "vitest";
import { makeAddressGuard } from "../../../src/worker/alerts/address-guard.ts";
import { allowedRecipients } from "../../../src/worker/alerts/recipients.ts";
import { alertSettings } from "../../../src/worker/alerts/settings.ts";

describe("recipients of an alert's emails", () => {
  test("are of the sender's domain, unless a setting names others", () => {
    const domains = (env: NodeJS.ProcessEnv) => alertSettings(env).emailDomains;
    expect(domains({ ALERT_EMAIL_FROM: "Alerts <alerts@Example.org>" })).toEqual(["example.org"]);
    expect(domains({ ALERT_EMAIL_DOMAINS: "a.example, B.example" })).toEqual([
      "a.example",
      "b.example",
    ]);
  });

  test("of other domains are refused for good", () => {
    expect(allowedRecipients(["ops@a.example"], ["a.example"])).toEqual(["ops@a.example"]);
    for (const stranger of ["victim@b.example", "victim@a.example.b.example"]) {
      expect(() => allowedRecipients([stranger], ["a.example"])).toThrow("ALERT_EMAIL_DOMAINS");
    }
    expect(allowedRecipients(["any@where.example"], ["*"])).toEqual(["any@where.example"]);
  });

  test.each([
    "victim@b.example(@a.example",
    "x:victim@b.example;@a.example",
    '"victim@b.example"@a.example',
    "victim@b.example\u0000@a.example",
    "ops@a.example\r\nBcc:victim@b.example",
    "v\u202ectim@a.example",
    "ops@a.example,victim@b.example",
  ])("%j is not a plain address to the mailer", (text) => {
    expect(() => allowedRecipients([text], ["a.example"])).toThrow();
  });
});

test.each([
  ["::ffff:10.0.0.1"],
  ["::ffff:a9fe:a9fe"],
  ["::10.0.0.1"],
  ["::ffff:0:a00:1"],
  ["64:ff9b::a00:1"],
  ["2002:a00:1::"],
  ["2001:0:a00:1::"],
  ["fec0::1"],
  ["4000::1"],
  ["0200::1"],
  ["[::1]"],
])("the address %s is not called", async (address) => {
  await expect(makeAddressGuard([])(address)).rejects.toThrow("is not public");
});
