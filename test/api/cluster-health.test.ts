import { describe, expect, test } from "vitest";
import { dataOf, refusalOf, roleNames, serveTwoTenants } from "./world.ts";

const { database, as, mine, theirs } = await serveTwoTenants();

const update = `mutation ($clusterId: UUID!, $patch: ClusterPatch!) {
  updateCluster(input: { clusterId: $clusterId, patch: $patch }) {
    cluster { healthStatus details { endpoint healthCheckUrl maxCapacity healthMessage } }
  }
}`;
const url = "https://storage.example/health";

await dataOf(
  as.system_admin.ask(update, {
    clusterId: mine.clusterId,
    patch: { endpoint: "https://s3.inside.example", healthCheckUrl: url, maxCapacity: "5000" },
  }),
);
await database.sql`
  update rate_limiter.clusters
  set health_status = 'degraded', health_checked_at = now(), health_streak = -1,
    health_message = 'storage.example answered 503'
  where cluster_id = ${mine.clusterId}
`;

const tenants = roleNames.filter((name) => name !== "system_admin");

describe("the health of a cluster", () => {
  test("is seen by system administrators with all that a probe found", async () => {
    const { cluster } = await dataOf(
      as.system_admin.ask(
        `query ($id: UUID!) {
          cluster(clusterId: $id) {
            healthStatus healthCheckedAt
            details { endpoint healthCheckUrl maxCapacity healthMessage healthStreak }
          }
        }`,
        { id: mine.clusterId },
      ),
    );
    expect(cluster).toEqual({
      healthStatus: "DEGRADED",
      healthCheckedAt: expect.any(String),
      details: {
        ...{ endpoint: "https://s3.inside.example", healthCheckUrl: url, maxCapacity: "5000" },
        ...{ healthMessage: "storage.example answered 503", healthStreak: -1 },
      },
    });
  });

  test.each(tenants)(
    "is seen by %s of a tenant that it hosts, without the operator's part",
    async (role) => {
      const { clusters, clusterDetails } = await dataOf(
        as[role].ask(`{
        clusters(first: 10) { nodes { clusterId healthStatus details { endpoint } } }
        clusterDetails(first: 10) { totalCount nodes { endpoint healthCheckUrl } }
      }`),
      );
      expect(clusters.nodes).toEqual([
        { clusterId: mine.clusterId, healthStatus: "DEGRADED", details: null },
      ]);
      expect(clusterDetails).toEqual({ totalCount: 0, nodes: [] });
    },
  );

  test.each(tenants)("is in no filter of %s", async (role) => {
    const { errors } = await as[role].ask(
      `query ($url: String!) {
        clusters(first: 10, filter: { details: { healthCheckUrl: { equalTo: $url } } }) {
          totalCount
        }
      }`,
      { url },
    );
    expect(errors).toMatchObject([
      { message: expect.stringContaining("ClusterFilter"), extensions: { code: "QS400" } },
    ]);
  });

  test("is not selected from the table by a visitor", async () => {
    for (const column of ["endpoint", "max_capacity", "health_check_url", "health_message"]) {
      const reading = database.withTransaction(
        "rate_limiter_visitor",
        { user_id: mine.users.system_admin },
        (sql) => sql`select ${sql(column)} from rate_limiter.clusters`,
      );
      await expect(reading, column).rejects.toMatchObject({ code: "42501" });
    }
  });
});

describe("the health check", () => {
  test("has an http address, which only a system administrator sets", async () => {
    const patch = { healthCheckUrl: "https://me:secret@storage.example/" };
    const asked = { clusterId: mine.clusterId, patch };
    const { errors } = await as.system_admin.ask(update, asked);
    expect(errors).toMatchObject([
      {
        message: "value is out of bounds",
        extensions: {
          code: "QS422",
          hint: "A health check URL is http:// or https:// and a host in visible ASCII, without user and password.",
        },
      },
    ]);
    for (const role of tenants) {
      const change = { clusterId: mine.clusterId, patch: { healthCheckUrl: url } };
      const { data } = await as[role].ask(update, change);
      expect(data?.updateCluster?.cluster ?? null, role).toBe(null);
    }
  });

  test.each(["{", "\ud800", "http://", "http://:80/", ""])(
    "is refused where no host can be read: %o",
    async (healthCheckUrl) => {
      const asked = { clusterId: mine.clusterId, patch: { healthCheckUrl } };
      const { errors } = await as.system_admin.ask(update, asked);
      expect(errors).toMatchObject([{ extensions: { code: "QS422" } }]);
    },
  );

  test("starts from unknown at another address, or none; its result cannot be set by hand", async () => {
    const { updateCluster } = await dataOf(
      as.system_admin.ask(update, { clusterId: theirs.clusterId, patch: { healthCheckUrl: null } }),
    );
    expect(updateCluster.cluster.healthStatus).toBe("UNKNOWN");
    const { errors = [] } = await as.system_admin.ask(update, {
      clusterId: theirs.clusterId,
      patch: { healthStatus: "healthy" },
    });
    expect(errors[0]?.message).toContain("healthStatus");
  });

  test("is stored beside a capacity, which is zero or more", async () => {
    const change = { clusterId: mine.clusterId, patch: { maxCapacity: "-1" } };
    expect(await refusalOf(as.system_admin.ask(update, change))).toBe(
      "QS422 value is out of bounds",
    );
  });
});
