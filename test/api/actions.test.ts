import { beforeEach, describe, expect, test } from "vitest";
import type { Sql } from "../../src/postgres/connect.ts";
import { fillBuckets } from "../data-model/world.ts";
import { expectSqlState } from "../harness/index.ts";
import { dataOf, refusalOf, serveTwoTenants } from "./world.ts";

const { database, api, as, mine, theirs } = await serveTwoTenants();
// Traffic of this file's own, on buckets without the world's ledger rows.
await database.sql`delete from rate_limiter.token_borrowing`;
const span = {
  since: new Date(Date.now() - 3_600_000).toISOString(),
  until: new Date(Date.now() + 3_600_000).toISOString(),
};

async function newApplication(client = as.app_admin, iopsLimit = 100) {
  const { createApplication } = await dataOf(
    client.ask(
      `mutation ($name: String!) {
        createApplication(input: { name: $name }) { appId apiKeyId apiKey prefix }
      }`,
      { name: `application ${crypto.randomUUID()}` },
    ),
  );
  const { appId } = createApplication;
  await dataOf(
    client.ask(
      `mutation ($appId: UUID!, $iops: IopsLimitInput!) {
        publishQuota(input: { reason: "new", appId: $appId, iops: $iops }) { quota { configId } }
      }`,
      { appId, iops: { iopsLimit, burstDurationSeconds: 1 } },
    ),
  );
  await fillBuckets(database.sql, appId);
  return createApplication;
}

async function consume(appId: string, times: number, reference?: string) {
  for (let call = 0; call < times; call++) {
    await database.as("rate_limiter_app")`
      select rate_limiter.consume(${appId}, 'read_small', 0, ${reference ?? null})
    `;
  }
}

describe("createApplication", () => {
  const create = `mutation ($input: CreateApplicationInput!) {
    createApplication(input: $input) { appId }
  }`;

  test.each([
    [{ name: " " }, "QS422 name is blank"],
    [{ name: "application of mine" }, "QS409 application already exists"],
    [{ name: "m", metadata: [1] }, "QS422 metadata is not an object"],
    [{ name: "c", clusterId: theirs.clusterId }, "QS404 unknown cluster"],
    [{ name: "c", clusterId: crypto.randomUUID() }, "QS404 unknown cluster"],
    [{ name: "t", tenantId: theirs.tenantId }, "QS403 only a system administrator may do this"],
  ])("refuses %o", async (input, refusal) => {
    expect(await refusalOf(as.app_admin.ask(create, { input }))).toBe(refusal);
  });
});

describe("API keys", () => {
  const keys = `query ($appId: UUID!) {
    application(appId: $appId) {
      apiKeys(first: 10, orderBy: CREATED_AT_ASC) { nodes { apiKeyId prefix expiresAt revokedAt } }
    }
  }`;
  const keysOf = async (appId: string) =>
    (await dataOf(as.app_admin.ask(keys, { appId }))).application.apiKeys.nodes;
  const opens = (apiKey: string) =>
    database.as("rate_limiter_app")`select rate_limiter.application_of_key(${apiKey}) as app_id`;

  test("are shown once, and known by their prefix afterwards", async () => {
    const { appId, apiKey, prefix } = await newApplication();
    expect(apiKey).toMatch(/^qos_[\w-]{43}$/);
    expect((await opens(apiKey))[0]?.app_id).toBe(appId);
    expect(await keysOf(appId)).toMatchObject([{ prefix, expiresAt: null, revokedAt: null }]);
    expect(JSON.stringify(await keysOf(appId))).not.toContain(apiKey.slice(12));
  });

  test("are rotated with an overlap, and revoked at once", async () => {
    const { appId, apiKey, apiKeyId } = await newApplication();
    const { rotateApiKey } = await dataOf(
      as.app_admin.ask(
        `mutation ($id: UUID!) {
          rotateApiKey(input: { apiKeyId: $id, overlap: "PT2H" }) { newApiKeyId apiKey oldKeyExpiresAt }
        }`,
        { id: apiKeyId },
      ),
    );
    const { apiKey: newKey, newApiKeyId, oldKeyExpiresAt } = rotateApiKey;
    const hours = (Date.parse(oldKeyExpiresAt) - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(1.9);
    expect(hours).toBeLessThanOrEqual(2);
    await opens(apiKey);
    await opens(newKey);
    const revoke = `mutation ($id: UUID!) { revokeApiKey(input: { apiKeyId: $id }) { revokedAt } }`;
    await dataOf(as.app_admin.ask(revoke, { id: newApiKeyId }));
    await expect(opens(newKey)).rejects.toThrow("api key is revoked");
    expect(await refusalOf(as.app_admin.ask(revoke, { id: newApiKeyId }))).toBe(
      "QS410 api key no longer works",
    );
    expect((await keysOf(appId)).length).toBe(2);
  });
});

test("the audit is searched by any part of the values, by who may read it", async () => {
  const { createApplication } = await dataOf(
    as.app_admin.ask(`mutation {
      createApplication(input: { name: "Søren's 100% archive" }) { appId }
    }`),
  );
  const search = `query ($since: Datetime!, $until: Datetime!, $containing: String!) {
    searchAudit(since: $since, until: $until, containing: $containing, first: 10) {
      nodes { action entityType entityId }
    }
  }`;
  const entity = { entityType: "APPLICATION", entityId: createApplication.appId };
  for (const containing of ["søren's 100%", "ARCHIVE"]) {
    const { searchAudit } = await dataOf(as.auditor.ask(search, { ...span, containing }));
    expect(searchAudit.nodes).toEqual([{ action: "INSERT", ...entity }]);
  }
  for (const containing of ["100_", "application of theirs"]) {
    const { searchAudit } = await dataOf(as.auditor.ask(search, { ...span, containing }));
    expect(searchAudit.nodes).toEqual([]);
  }
  const short = as.auditor.ask(search, { ...span, containing: "ar" });
  expect(await refusalOf(short)).toBe("QS422 text to search for is too short");
  const refused = as.ops_admin.ask(search, { ...span, containing: "archive" });
  expect(await refusalOf(refused)).toBe("QS403 permission denied");
});

describe("borrowing", () => {
  const borrow = `mutation ($input: BorrowTokensInput!) {
    borrowTokens(input: $input) {
      borrowing { borrowingId tokensBorrowed repaymentTokens status dueAt }
    }
  }`;
  const input = (ownerId: string, tokens: string) => ({
    input: { ownerId, bucketType: "IOPS_L2", tokens, duration: "PT10M" },
  });

  test("from the own future is paid back with interest", async () => {
    const { appId } = await newApplication();
    const { borrowTokens } = await dataOf(as.app_admin.ask(borrow, input(appId, "10.5")));
    expect(borrowTokens.borrowing).toMatchObject({
      ...{ tokensBorrowed: "10.500000", repaymentTokens: "11.550000", status: "ACTIVE" },
    });
    const { repayBorrowing } = await dataOf(
      as.app_admin.ask(
        `mutation ($owner: UUID!, $id: UUID!) {
          repayBorrowing(input: { ownerId: $owner, borrowingId: $id }) {
            borrowing { status repaidTokens }
          }
        }`,
        { owner: appId, id: borrowTokens.borrowing.borrowingId },
      ),
    );
    expect(repayBorrowing.borrowing).toEqual({ status: "REPAID", repaidTokens: "11.550000" });
  });

  test("is written off with a reason by who may adjust tokens", async () => {
    const { appId } = await newApplication();
    const { borrowTokens } = await dataOf(as.app_admin.ask(borrow, input(appId, "5")));
    const writeOff = `mutation ($owner: UUID!, $id: UUID!, $reason: String!) {
      writeOffBorrowing(input: { ownerId: $owner, borrowingId: $id, reason: $reason }) {
        borrowing { status metadata }
      }
    }`;
    const what = { owner: appId, id: borrowTokens.borrowing.borrowingId };
    expect(await refusalOf(as.app_admin.ask(writeOff, { ...what, reason: "gift" }))).toBe(
      "QS403 permission denied",
    );
    expect(await refusalOf(as.tenant_admin.ask(writeOff, { ...what, reason: "" }))).toBe(
      "QS422 reason is missing",
    );
    // Without a lender they come from nowhere: that is the operator's to give.
    expect(await refusalOf(as.tenant_admin.ask(writeOff, { ...what, reason: "gift" }))).toBe(
      "QS403 only a system administrator may do this",
    );
    const answer = await dataOf(as.system_admin.ask(writeOff, { ...what, reason: "gift" }));
    expect(answer.writeOffBorrowing.borrowing).toMatchObject({
      status: "CANCELLED",
      metadata: { reason: "gift" },
    });
  });

  test("has its limits, and those of the tenant", async () => {
    const { appId } = await newApplication();
    expect(await refusalOf(as.app_admin.ask(borrow, input(appId, "1000")))).toBe(
      "QS409 borrow limit",
    );
    for (const owner of [theirs.appId, mine.clusterId, crypto.randomUUID()]) {
      expect(await refusalOf(as.app_admin.ask(borrow, input(owner, "1")))).toBe(
        "QS404 unknown owner of a bucket",
      );
    }
    const lent = { ...input(appId, "1").input, lenderOwnerId: theirs.appId };
    expect(await refusalOf(as.app_admin.ask(borrow, { input: lent }))).toBe(
      "QS422 lender not allowed",
    );
  });

  test("stands in the ledger and in the audit", async () => {
    const { appId } = await newApplication();
    await dataOf(as.app_admin.ask(borrow, input(appId, "7")));
    const { application } = await dataOf(
      as.app_admin.ask(
        `query ($id: UUID!) {
          application(appId: $id) {
            ledger(first: 5) { nodes { transactionType tokensChange balanceAfter } }
            borrowings(first: 5) { nodes { tokensBorrowed } totalCount }
          }
        }`,
        { id: appId },
      ),
    );
    expect(application.ledger.nodes).toContainEqual({
      ...{ transactionType: "BORROW", tokensChange: "7.000000", balanceAfter: "107.000000" },
    });
    expect(application.borrowings).toEqual({
      nodes: [{ tokensBorrowed: "7.000000" }],
      totalCount: 1,
    });
    const { searchAudit } = await dataOf(
      as.auditor.ask(
        `query ($since: Datetime!, $until: Datetime!) {
          searchAudit(since: $since, until: $until, action: BORROW, first: 1) {
            nodes { userId appId entityType newValues requestId }
          }
        }`,
        span,
      ),
    );
    expect(searchAudit.nodes).toMatchObject([
      {
        ...{ userId: mine.users.app_admin, appId, entityType: "BORROWING" },
        newValues: { tokens: "7.000000" },
        requestId: expect.stringMatching(/^[\da-f-]{36}$/),
      },
    ]);
  });
});

test("tokens are adjusted by hand, within the bucket, with a reason", async () => {
  const { appId } = await newApplication();
  const adjust = `mutation ($change: BigFloat!, $reason: String!, $owner: UUID!) {
    adjustTokens(input: {
      ownerId: $owner, bucketType: IOPS_L2, tokensChange: $change, reason: $reason
    }) { tokens }
  }`;
  const by = (change: string, reason = "test") => ({ owner: appId, change, reason });
  expect(await refusalOf(as.app_admin.ask(adjust, by("-1")))).toBe("QS403 permission denied");
  const { adjustTokens } = await dataOf(as.tenant_admin.ask(adjust, by("-40.000001")));
  expect(adjustTokens.tokens).toBe("59.999999");
  expect(await refusalOf(as.tenant_admin.ask(adjust, by("-1000")))).toBe(
    "QS422 adjustment leaves the bucket",
  );
  expect(await refusalOf(as.tenant_admin.ask(adjust, by("-1", " ")))).toBe(
    "QS422 reason is missing",
  );
});

test("an alert is acknowledged once, by who runs the operations", async () => {
  const acknowledge = `mutation ($id: UUID!) {
    acknowledgeAlert(input: { historyId: $id }) { alert { status acknowledgedBy } }
  }`;
  const alertOf = async (appId: string) => {
    const [row] = await database.sql`
      select history_id as id from rate_limiter.alert_history where app_id = ${appId}
    `;
    return { id: row?.id };
  };
  const ours = await alertOf(mine.appId);
  expect(await refusalOf(as.app_viewer.ask(acknowledge, ours))).toBe("QS403 permission denied");
  expect(await refusalOf(as.ops_admin.ask(acknowledge, await alertOf(theirs.appId)))).toBe(
    "QS404 unknown alert",
  );
  const { acknowledgeAlert } = await dataOf(as.ops_admin.ask(acknowledge, ours));
  expect(acknowledgeAlert.alert).toEqual({
    ...{ status: "ACKNOWLEDGED", acknowledgedBy: mine.users.ops_admin },
  });
  expect(await refusalOf(as.ops_admin.ask(acknowledge, ours))).toBe(
    "QS409 alert is acknowledged already",
  );
});

describe("roles", () => {
  const assign = `mutation ($user: UUID!, $role: String!, $until: Datetime) {
    assignRole(input: { userId: $user, role: $role, expiresAt: $until }) {
      userRole { expiresAt role { name } assignedBy }
    }
  }`;
  const expire = `mutation ($user: UUID!, $role: String!) {
    expireRole(input: { userId: $user, role: $role }) { userRole { expiresAt } }
  }`;

  test("are given for a time, and taken back", async () => {
    const user = mine.users.app_viewer;
    const until = "2100-01-01T00:00:00.000000+00:00";
    const permissions = "{ viewerPermissions }";
    const { assignRole } = await dataOf(
      as.tenant_admin.ask(assign, { user, role: "auditor", until }),
    );
    expect(assignRole.userRole).toEqual({
      ...{ expiresAt: until, role: { name: "auditor" }, assignedBy: mine.users.tenant_admin },
    });
    expect((await dataOf(as.app_viewer.ask(permissions))).viewerPermissions).toContain(
      "audit:read",
    );
    await dataOf(as.tenant_admin.ask(expire, { user, role: "auditor" }));
    expect((await as.app_viewer.ask(permissions)).status, "with the role its sessions").toBe(401);
    Object.assign(as.app_viewer, await api.signIn("app_viewer@mine.example"));
    expect((await dataOf(as.app_viewer.ask(permissions))).viewerPermissions).not.toContain(
      "audit:read",
    );
    expect(await refusalOf(as.tenant_admin.ask(expire, { user, role: "auditor" }))).toBe(
      "QS404 user does not hold this role",
    );
  });

  test("are only granted by users who hold as much", async () => {
    const user = mine.users.app_viewer;
    const refusals = {
      "QS403 role allows more than you may give": [as.tenant_admin, user, "system_admin"],
      "QS404 unknown role": [as.tenant_admin, user, "emperor"],
      "QS404 unknown user": [as.tenant_admin, theirs.users.app_viewer, "auditor"],
      "QS403 user holds more than you may give": [
        as.tenant_admin,
        mine.users.system_admin,
        "auditor",
      ],
      "QS403 permission denied": [as.app_admin, user, "app_viewer"],
    } as const;
    for (const [refusal, [client, target, role]] of Object.entries(refusals)) {
      expect(await refusalOf(client.ask(assign, { user: target, role }))).toBe(refusal);
    }
    const past = { user, role: "auditor", until: "2000-01-01T00:00:00Z" };
    expect(await refusalOf(as.tenant_admin.ask(assign, past))).toBe(
      "QS422 role would already have expired",
    );
  });

  test("of the last system administrator stay", async () => {
    const role = "system_admin";
    await dataOf(as.system_admin.ask(expire, { user: theirs.users.system_admin, role }));
    expect(
      await refusalOf(as.system_admin.ask(expire, { user: mine.users.system_admin, role })),
    ).toBe("QS409 last system administrator");
    expect((await dataOf(as.system_admin.ask("{ viewer { email } }"))).viewer).toEqual({
      email: "system_admin@mine.example",
    });
  });

  describe("of the last system administrator do not end", () => {
    const role = "system_admin";
    const admin = mine.users.system_admin;
    const other = theirs.users.system_admin;
    const until = "2100-01-01T00:00:00Z";
    const last = "QS409 last system administrator";
    const setUser = `mutation ($id: UUID!, $active: Boolean!) {
      updateUser(input: { userId: $id, patch: { isActive: $active } }) { user { isActive } }
    }`;
    const setTenant = `mutation ($id: UUID!, $active: Boolean!) {
      updateTenant(input: { tenantId: $id, patch: { isActive: $active } }) { tenant { isActive } }
    }`;
    const deleteUser = `mutation ($id: UUID!) {
      deleteUser(input: { userId: $id }) { user { userId } }
    }`;
    const ask = (query: string, variables: object) => as.system_admin.ask(query, { ...variables });
    const give = (user: string, expiresAt: string | null = null) =>
      dataOf(ask(assign, { user, role, until: expiresAt }));

    beforeEach(async () => {
      // No administrator for a time could do that.
      await database.sql`
        update rate_limiter.user_roles as ur set expires_at = null from rate_limiter.roles as r
        where r.role_id = ur.role_id and r.name = ${role} and ur.user_id = ${admin}
      `;
      await database.sql`
        delete from rate_limiter.user_roles as ur using rate_limiter.roles as r
        where r.role_id = ur.role_id and r.name = ${role} and ur.user_id <> ${admin}
      `;
    });

    test.each<[string, string, object]>([
      ["later", assign, { user: admin, role, until }],
      ["with the user", setUser, { id: admin, active: false }],
      ["with the tenant", setTenant, { id: mine.tenantId, active: false }],
    ])("%s", async (_, query, variables) => {
      expect(await refusalOf(ask(query, variables))).toBe(last);
      // It is not left to an administrator for a time only.
      await give(other, until);
      expect(await refusalOf(ask(query, variables))).toBe(last);
    });

    const more = "QS403 user holds more than you may give";
    test.each<[string, string, object, string]>([
      ["at once", expire, { user: other, role }, more],
      ["a little earlier", assign, { user: other, role, until }, more],
      ["with the tenant", setTenant, { id: theirs.tenantId, active: false }, last],
      ["with the user's row", deleteUser, { id: other }, "QS404 nothing to change"],
    ])(
      "%s, where the others are administrators for a time only",
      async (_, query, given, refusal) => {
        await give(other);
        await give(admin, "2200-01-01T00:00:00Z");
        expect(await refusalOf(ask(query, given))).toBe(refusal);
      },
    );

    test("with users beside who are inactive, or whose tenant is", async () => {
      await give(other);
      await dataOf(ask(setUser, { id: other, active: false }));
      expect(await refusalOf(ask(expire, { user: admin, role }))).toBe(last);
      await dataOf(ask(setUser, { id: other, active: true }));
      await dataOf(ask(setTenant, { id: theirs.tenantId, active: false }));
      expect(await refusalOf(ask(setUser, { id: admin, active: false }))).toBe(last);
      await dataOf(ask(expire, { user: other, role }));
      await dataOf(ask(setTenant, { id: theirs.tenantId, active: true }));
    });

    test("where two administrators end each other at once", async () => {
      await give(other);
      const [a, b] = [await database.session("a"), await database.session("b")];
      const deactivate = (id: string) => (sql: Sql) =>
        sql`
        update rate_limiter.users set is_active = false where user_id = ${id}
      `;
      await a.sql`begin`;
      await deactivate(other)(a.sql);
      const second = b.start(deactivate(admin));
      await b.waitsOnLock();
      await a.sql`commit`;
      await expectSqlState(second, "QS409", "last system administrator");
      await dataOf(ask(setUser, { id: other, active: true }));
    });

    test("while the roles of others do", async () => {
      await give(other);
      await dataOf(ask(expire, { user: other, role }));
      await dataOf(ask(setUser, { id: other, active: false }));
      await dataOf(ask(setUser, { id: other, active: true }));
      const { updateTenant } = await dataOf(ask(setTenant, { id: theirs.tenantId, active: false }));
      expect(updateTenant.tenant).toEqual({ isActive: false });
      await dataOf(ask(setTenant, { id: theirs.tenantId, active: true }));
    });
  });
});

test("settings are changed by system administrators, within their bounds", async () => {
  const set = `mutation ($key: String!, $value: String!) {
    setSetting(input: { key: $key, value: $value }) { setting { value updatedBy } }
  }`;
  const key = "max_borrow_duration";
  expect(await refusalOf(as.tenant_admin.ask(set, { key, value: "60" }))).toBe(
    "QS403 permission denied",
  );
  const { setSetting } = await dataOf(as.system_admin.ask(set, { key, value: "7200" }));
  expect(setSetting.setting).toEqual({ value: "7200", updatedBy: mine.users.system_admin });
  expect(await refusalOf(as.system_admin.ask(set, { key, value: "soon" }))).toBe(
    "QS422 setting value does not fit",
  );
  expect(await refusalOf(as.system_admin.ask(set, { key: "no_such", value: "1" }))).toBe(
    "QS404 unknown setting",
  );
});

test("a span of time is answered as it was given, in ISO 8601", async () => {
  const { retentionPolicyByDataType: charges } = await dataOf(
    as.system_admin.ask(
      '{ retentionPolicyByDataType(dataType: "charges") { policyId retainFor } }',
    ),
  );
  expect(charges.retainFor).toBe("P30D");
  const { updateRetentionPolicy } = await dataOf(
    as.system_admin.ask(
      `mutation ($policyId: UUID!) {
        updateRetentionPolicy(input: { policyId: $policyId, patch: { retainFor: "P31DT1H" } }) {
          retentionPolicy { retainFor }
        }
      }`,
      charges,
    ),
  );
  expect(updateRetentionPolicy.retentionPolicy.retainFor).toBe("P31DT1H");
});

describe("cost rules", () => {
  test("are made, changed and refused where they overlap", async () => {
    const { appId } = await newApplication();
    const { operationTypeByName } = await dataOf(
      as.app_admin.ask('{ operationTypeByName(name: "list") { operationId cBase } }'),
    );
    const create = `mutation ($rule: CreateCostRuleInput!) {
      createCostRule(input: $rule) {
        costRule { ruleId cBaseOverride operationType { name } application { appId } }
      }
    }`;
    const rule = { appId, operationId: operationTypeByName.operationId, cBaseOverride: "0.5" };
    const { createCostRule } = await dataOf(as.system_admin.ask(create, { rule }));
    expect(createCostRule.costRule).toMatchObject({
      ...{ cBaseOverride: "0.5000", operationType: { name: "list" }, application: { appId } },
    });
    expect(await refusalOf(as.app_admin.ask(create, { rule }))).toBe("QS403 permission denied");
    expect(await refusalOf(as.system_admin.ask(create, { rule }))).toBe(
      "QS409 overlaps with another one",
    );
    const [decision] = await database.as("rate_limiter_app")`
      select cost from rate_limiter.consume(${appId}, 'list', 0)
    `;
    expect(decision?.cost).toBe("0.500000");
    const ended = await dataOf(
      as.system_admin.ask(
        `mutation ($id: UUID!) {
          updateCostRule(input: { ruleId: $id, patch: { isActive: false } }) {
            costRule { isActive }
          }
        }`,
        { id: createCostRule.costRule.ruleId },
      ),
    );
    expect(ended.updateCostRule.costRule.isActive).toBe(false);
    const foreign = { ...rule, appId: theirs.appId };
    const unknown = { ...rule, appId: crypto.randomUUID() };
    expect(await refusalOf(as.app_admin.ask(create, { rule: foreign }))).toBe(
      await refusalOf(as.app_admin.ask(create, { rule: unknown })),
    );
  });
});

describe("whyThrottled", () => {
  const why = `query ($appId: UUID!, $operation: String, $at: Datetime, $reference: String) {
    whyThrottled(appId: $appId, operation: $operation, at: $at, referenceId: $reference) {
      layer bucketType verdict charge tokens capacity debt passesAt versionId moment
    }
  }`;

  test("names the bucket, the balance, the version and when it would pass", async () => {
    const { appId } = await newApplication(as.app_admin, 1);
    await consume(appId, 1);
    const { whyThrottled } = await dataOf(as.app_admin.ask(why, { appId, operation: "list" }));
    expect(whyThrottled).toMatchObject([
      { layer: 2, bucketType: "IOPS_L2", verdict: "EXCEEDS_CAPACITY", charge: "3.000000" },
    ]);
    const now = (await dataOf(as.app_admin.ask(why, { appId, operation: "read_small" })))
      .whyThrottled[0];
    expect(now).toMatchObject({ verdict: "SHORT", capacity: "1.000000", debt: "0" });
    expect(now.versionId).toMatch(/^[\da-f-]{36}$/);
    expect(Number(now.tokens)).toBeLessThan(1);
    expect(Date.parse(now.passesAt)).toBeGreaterThan(Date.parse(now.moment));
  });

  test("explains a moment of the past by the ledger", async () => {
    const { appId } = await newApplication(as.app_admin, 5);
    await consume(appId, 5);
    const [row] = await database.sql`
      select created_at + interval '1 microsecond' as at
      from rate_limiter.token_transactions
      where owner_id = ${appId} and transaction_type = 'consume'
      order by seq desc limit 1
    `;
    // Two seconds later the bucket is full again: what is asked about is before that.
    await database.sql`
      select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${row?.at}::timestamptz + interval '2 seconds', ${appId}, 'read_small', 0
      )
    `;
    const { whyThrottled } = await dataOf(
      as.app_admin.ask(why, { appId, operation: "list", at: row?.at }),
    );
    expect(whyThrottled[0].verdict).toBe("SHORT");
    expect(Number(whyThrottled[0].tokens)).toBeLessThan(3);
  });

  test("explains an admitted operation by its reference, and says when there is none", async () => {
    const { appId } = await newApplication();
    await consume(appId, 1, "order-1");
    const { whyThrottled } = await dataOf(as.app_admin.ask(why, { appId, reference: "order-1" }));
    expect(whyThrottled[0]).toMatchObject({ verdict: "ENOUGH", charge: "1.000000" });
    expect(Number(whyThrottled[0].tokens)).toBeGreaterThanOrEqual(1);
    expect(await refusalOf(as.app_admin.ask(why, { appId, reference: "order-2" }))).toBe(
      "QS404 unknown reference",
    );
  });

  test("asks for a moment that a clock can say", async () => {
    const { appId } = await newApplication();
    for (const at of ["infinity", "-infinity"]) {
      const asked = as.app_admin.ask(why, { appId, operation: "list", at });
      expect(await refusalOf(asked)).toBe("QS422 moment is not finite");
    }
  });

  test("shows a cluster's balance to system administrators alone", async () => {
    await dataOf(
      as.system_admin.ask(
        `mutation ($id: UUID!) {
          publishQuota(input: { reason: "r", clusterId: $id, iops: { iopsLimit: 1000 } }) {
            quota { configId }
          }
        }`,
        { id: mine.clusterId },
      ),
    );
    const layer1 = async (client: typeof as.app_admin) =>
      (
        await dataOf(client.ask(why, { appId: mine.appId, operation: "read_small" }))
      ).whyThrottled.find((row: { layer: number }) => row.layer === 1);
    expect(await layer1(as.app_admin)).toMatchObject({
      ...{ verdict: "ENOUGH", tokens: null, capacity: null, versionId: null },
    });
    expect((await layer1(as.system_admin)).capacity).not.toBeNull();
  });

  test("is not for other tenants", async () => {
    expect(await refusalOf(as.app_admin.ask(why, { appId: theirs.appId, operation: "list" }))).toBe(
      "QS404 unknown application",
    );
  });
});

test("automatic borrowing is switched by system administrators", async () => {
  const mutation = `mutation ($appId: UUID!, $on: Boolean!) {
    updateApplication(input: { appId: $appId, patch: { autoBorrow: $on } }) {
      application { autoBorrow }
    }
  }`;
  const switchOf = async (client: typeof as.app_admin, appId: string, on: boolean) => {
    const { updateApplication } = await dataOf(client.ask(mutation, { appId, on }));
    return updateApplication.application;
  };
  expect(await switchOf(as.app_viewer, mine.appId, true)).toBeNull();
  expect(await switchOf(as.app_admin, theirs.appId, true)).toBeNull();
  expect(await refusalOf(as.tenant_admin.ask(mutation, { appId: mine.appId, on: true }))).toBe(
    "QS403 only a system administrator may do this",
  );
  const borrowers = await database.sql`
    select app_id from rate_limiter.applications where auto_borrow
  `;
  expect(borrowers).toEqual([]);
  expect(await switchOf(as.system_admin, mine.appId, true)).toEqual({ autoBorrow: true });
  expect(await switchOf(as.system_admin, mine.appId, false)).toEqual({ autoBorrow: false });
});

describe("usage", () => {
  test("over time counts what was taken and what was denied, hour by hour", async () => {
    const { appId } = await newApplication();
    await consume(appId, 3);
    await database.sql`
      insert into rate_limiter.denial_counts
        (shard_key, app_id, minute, reason, operations, tokens, bytes)
      values (rate_limiter_internal.shard_key_of(${appId}), ${appId}, date_trunc('minute', now()), 'iops_l2', 4, 8, 0)
    `;
    const { usageOverTime, daily } = await dataOf(
      as.app_viewer.ask(
        `query ($appId: UUID!, $since: Datetime!, $until: Datetime!) {
          usageOverTime(appId: $appId, since: $since, until: $until, resolution: HOUR) {
            startsAt tokensConsumed deniedOperations deniedTokens
          }
          daily: usageOverTime(appId: $appId, since: $since, until: $until, resolution: DAY) {
            startsAt tokensConsumed
          }
        }`,
        { appId, ...span },
      ),
    );
    expect(
      daily.filter((step: { tokensConsumed: string }) => Number(step.tokensConsumed) > 0),
    ).toEqual([{ startsAt: expect.stringMatching(/T00:00:00/), tokensConsumed: "3.000000" }]);
    expect(usageOverTime.length).toBeGreaterThanOrEqual(2);
    const busy = usageOverTime.filter(
      (step: { tokensConsumed: string }) => Number(step.tokensConsumed) > 0,
    );
    expect(busy).toMatchObject([
      { tokensConsumed: "3.000000", deniedOperations: "4", deniedTokens: "8.000000" },
    ]);
  });

  test("has its top consumers, of the own tenant alone", async () => {
    const top = `query ($since: Datetime!, $until: Datetime!) {
      topConsumers(since: $since, until: $until, maxRows: 100) {
        appId tenantName tokensConsumed percentage
      }
    }`;
    await database.sql`select rate_limiter_private.refresh_daily_quota_usage()`;
    const { topConsumers } = await dataOf(as.ops_admin.ask(top, span));
    expect(new Set(topConsumers.map((row: { tenantName: string }) => row.tenantName))).toEqual(
      new Set(["mine"]),
    );
    const amounts = topConsumers.map((row: { tokensConsumed: string }) =>
      Number(row.tokensConsumed),
    );
    expect(amounts).toEqual([...amounts].sort((a, b) => b - a));
    const everyones = (await dataOf(as.system_admin.ask(top, span))).topConsumers;
    expect(everyones.map((row: { appId: string }) => row.appId)).toContain(theirs.appId);
  });

  test("has the top consumers of one cluster, however little they took beside others", async () => {
    const top = `query ($since: Datetime!, $until: Datetime!, $clusterId: UUID) {
      topConsumers(since: $since, until: $until, maxRows: 1, clusterId: $clusterId) {
        appId percentage
      }
    }`;
    const later = { since: span.until, until: new Date(Date.parse(span.until) + 1).toISOString() };
    const used = (appId: string, tokens: number) => database.sql`
      insert into rate_limiter_private.usage_hourly
        (shard_key, app_id, bucket_type, hour, tokens_consumed, tokens_refunded, tokens_owed,
         usage_entries, ledger_entries)
      values (rate_limiter_internal.shard_key_of(${appId}), ${appId}, 'iops_l2',
        date_trunc('hour', ${later.since}::timestamptz, 'UTC'), ${tokens}, 0, 0, 1, 1)
    `;
    await used(mine.appId, 1_000_000_000);
    await used(theirs.appId, 1_000_000);
    const inCluster = async (client: typeof as.app_admin, clusterId?: string) =>
      (await dataOf(client.ask(top, { ...later, clusterId }))).topConsumers;
    const ofTheirs = [{ appId: theirs.appId, percentage: "100.00" }];
    expect(await inCluster(as.system_admin)).toMatchObject([{ appId: mine.appId }]);
    expect(await inCluster(as.system_admin, theirs.clusterId)).toEqual(ofTheirs);
    expect(await inCluster(as.ops_admin, theirs.clusterId)).toEqual([]);
  });

  test("has what was denied in one cluster, the most first", async () => {
    const inCluster = `query ($clusterId: UUID!) {
      denialCounts(
        orderBy: [OPERATIONS_DESC]
        filter: {
          minute: { equalTo: "2026-01-01T00:00:00Z" }
          application: { clusterId: { equalTo: $clusterId } }
        }
      ) {
        nodes { appId operations }
      }
    }`;
    for (const [{ appId }, operations] of [
      [mine, 900],
      [theirs, 1],
      [theirs, 2],
    ] as const) {
      await database.sql`
        insert into rate_limiter.denial_counts
          (shard_key, app_id, minute, reason, operations, tokens, bytes)
        values (rate_limiter_internal.shard_key_of(${appId}), ${appId}, '2026-01-01T00:00:00Z',
          'iops_l2', ${operations}, 1, 0)
      `;
    }
    const countsFor = async (client: typeof as.app_admin) =>
      (await dataOf(client.ask(inCluster, { clusterId: theirs.clusterId }))).denialCounts.nodes;
    expect(await countsFor(as.system_admin)).toEqual([
      { appId: theirs.appId, operations: "2" },
      { appId: theirs.appId, operations: "1" },
    ]);
    expect(await countsFor(as.ops_admin)).toEqual([]);
  });

  test("cannot be asked of a span without end", async () => {
    const query = `query ($since: Datetime!, $until: Datetime!) {
      topConsumers(since: $since, until: $until) { appId }
    }`;
    const far = { since: "2000-01-01T00:00:00Z", until: "2020-01-01T00:00:00Z" };
    expect(await refusalOf(as.ops_admin.ask(query, far))).toBe(
      "QS422 span of time is empty or too long",
    );
  });
});

test("a client without a sign-in changes nothing", async () => {
  const actions = [
    'publishQuota(input: { reason: "r" }) { quota { configId } }',
    'setSetting(input: { key: "a", value: "b" }) { setting { key } }',
    'createApplication(input: { name: "a" }) { appId }',
    "logoutEverywhere(input: {}) { endedSessions }",
  ];
  const refusals = await Promise.all(
    actions.map(async (action) => (await api.nobody.ask(`mutation { ${action} }`)).errors?.[0]),
  );
  expect(refusals.slice(1, 3).map((error) => error?.message)).toEqual(
    Array(2).fill("not signed in"),
  );
  expect(refusals[0]?.extensions.code).toMatch(/^QS4(01|22)$/);
});
