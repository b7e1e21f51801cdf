import { describe, expect, test } from "vitest";
import type { Client } from "../api.ts";
import { dataOf, refusalOf, serveTwoTenants } from "../world.ts";

const { database, api, as, mine } = await serveTwoTenants();
const { sql } = database;

const apply = `mutation ($wanted: JSON!, $managedBy: String) {
  applyConfiguration(input: {
    wanted: $wanted, reason: "attack", managedBy: $managedBy, takeOver: true
  }) { results { action kind } }
}`;

interface Standing {
  readonly kind: string;
  readonly path: readonly string[];
  readonly spec: object;
  readonly managedBy: string | null;
}

const standing = async (by: Client): Promise<readonly Standing[]> =>
  (await dataOf(by.ask("{ configuration { kind path spec managedBy } }"))).configuration;

const adopting = (by: Client, { kind, path, spec }: Standing) =>
  by.ask(apply, { wanted: [{ kind, path, spec }], managedBy: "storage-team" });

async function outcomeOf(asking: ReturnType<Client["ask"]>): Promise<string> {
  const { data, errors } = await asking;
  if (errors === undefined) return data.applyConfiguration.results[0]?.action ?? "nothing";
  const extensions = errors[0]?.extensions;
  if (extensions?.code !== "QS422") return extensions?.code ?? "no code";
  return JSON.parse(String(extensions.detail))[0].code;
}

describe("a configuration of a tenant", () => {
  test("adopts what its caller may change, and nothing that the caller may only see", async () => {
    await dataOf(
      as.system_admin.ask(
        `mutation ($tenant: UUID!) { setTenantCeiling(input: {
          tenantId: $tenant, reason: "contract", iops: { maxLimit: "100000" }
        }) { ceiling { ceilingId } } }`,
        { tenant: mine.tenantId },
      ),
    );
    const seen = await standing(as.tenant_admin);
    const outcomes: Record<string, unknown> = {};
    for (const object of seen) {
      for (const role of ["app_viewer", "auditor", "ops_admin", "tenant_admin"] as const) {
        outcomes[`${object.kind} ${role}`] = await outcomeOf(adopting(as[role], object));
      }
    }
    expect(Object.keys(outcomes)).toContain("application app_viewer");
    expect(Object.keys(outcomes)).toContain("ceiling tenant_admin");
    const adopted = Object.entries(outcomes).filter(([, outcome]) => outcome === "ADOPT");
    const own = new Set(["tenant", "application", "quota", "alert"]);
    for (const [who] of adopted) {
      const [kind = "", role] = who.split(" ");
      expect(own).toContain(kind);
      expect(role === "tenant_admin" || (role === "ops_admin" && kind === "alert")).toBe(true);
    }
    expect(adopted.map(([who]) => who)).toContain("application tenant_admin");
    const managed = (await standing(as.system_admin)).filter(({ managedBy }) => managedBy);
    for (const { kind } of managed) expect(own).toContain(kind);
  });

  test("keeps neither the operator nor another tenant waiting while it is applied", async () => {
    await sql.begin(async (transaction) => {
      await transaction`
        select set_config('rate_limiter.user_id', ${mine.users.app_viewer}, true),
          set_config('rate_limiter.tenant_id', ${mine.tenantId}, true)
      `;
      await transaction`select from rate_limiter_admin.apply_configuration('[]', 'held')`;
      expect(await outcomeOf(as.system_admin.ask(apply, { wanted: [] }))).toBe("nothing");
    });
  });

  test("has a name of its tenant: others neither see it, nor take it, nor manage by it", async () => {
    const theirAdmin = await api.signIn("tenant_admin@theirs.example");
    const managed = async (by: Client, tenant: string) =>
      (await standing(by)).find(({ kind, path }) => kind === "application" && path[0] === tenant);
    const attempt = (by: Client, object: Standing | undefined, takeOver: boolean) => {
      const { kind, path, spec } = object as Standing;
      const wanted = [{ kind, path, spec }];
      return outcomeOf(
        by.ask(apply.replace("takeOver: true", `takeOver: ${takeOver}`), {
          ...{ wanted, managedBy: "team" },
        }),
      );
    };
    const ours = await managed(as.tenant_admin, "mine");
    const other = await managed(theirAdmin, "theirs");
    expect(await attempt(as.tenant_admin, ours, true)).toBe("ADOPT");
    expect(await attempt(theirAdmin, other, false)).toBe("ADOPT");
    expect((await managed(theirAdmin, "theirs"))?.managedBy).toBe("team");
    expect((await managed(as.system_admin, "theirs"))?.managedBy).toBe("theirs/team");
    // The operator's configuration of the same name is another one, and so is the tenant's to it.
    expect(await attempt(as.system_admin, ours, false)).toBe("QS409");
    expect(await attempt(as.system_admin, ours, true)).toBe("ADOPT");
    expect((await managed(as.tenant_admin, "mine"))?.managedBy).toBe("the operator");
    expect(await attempt(as.tenant_admin, ours, false)).toBe("QS409");
    const pruned = await as.tenant_admin.ask(
      `mutation { applyConfiguration(input: {
        wanted: [], reason: "prune", managedBy: "team", prune: true
      }) { results { kind } } }`,
    );
    expect(pruned.data.applyConfiguration.results).toEqual([]);
  });

  test("has a name that can be read", async () => {
    const [tenant] = (await standing(as.tenant_admin)).filter(({ kind }) => kind === "tenant");
    for (const managedBy of ["storage\u001b[2J", "storage\nteam", "\u202emaet", ""]) {
      const { kind, path, spec } = tenant as Standing;
      const asked = as.tenant_admin.ask(apply, { wanted: [{ kind, path, spec }], managedBy });
      expect(await refusalOf(asked)).toMatch(/^QS422 /);
    }
  });
});
