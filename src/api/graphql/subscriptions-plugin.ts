import {
  constant,
  context,
  each,
  type GrafastSubscriber,
  lambda,
  listen,
  object,
  type Step,
} from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import type { Sql } from "../../postgres/connect.ts";
import { alertChannel } from "../live/alert-channel.ts";
import { type AlertKey, alertsOf } from "../live/alert-keys.ts";
import { ticks } from "../live/ticks.ts";
import { whileAuthorized } from "../live/while-authorized.ts";
import { whileSignedIn } from "../live/while-signed-in.ts";
import type { ApiRequest } from "../request.ts";

type Subscriber = GrafastSubscriber<Record<string, string>>;
type Alerts = GrafastSubscriber<Record<string, AlertKey>>;

/** Buckets change with every decision without a notification: they are polled at this interval. */
const millisecondsBetweenLooks = 1_000;
const millisecondsBetweenOverviews = 2_000;

export function subscriptionsPlugin(sql: Sql): GraphileConfig.Plugin {
  const looksEach = (milliseconds: number) => (request: ApiRequest) => ({
    subscribe: () => whileSignedIn(sql, request, ticks(milliseconds)),
  });
  const looks: (request: ApiRequest) => Subscriber = looksEach(millisecondsBetweenLooks);
  const overview: (request: ApiRequest) => Subscriber = looksEach(millisecondsBetweenOverviews);

  /** PostgreSQL's notifications, on the channel that the one who asks may hear. */
  const alerts = ([subscriber, request]: readonly [Subscriber | null, ApiRequest]): Alerts => ({
    async subscribe() {
      if (subscriber === null) throw new Error("the server hears no notifications");
      const channel = await alertChannel(sql, request);
      const heard = whileSignedIn(sql, request, await subscriber.subscribe(channel));
      return alertsOf(sql, request, whileAuthorized(sql, request, channel, heard));
    },
  });

  return extendSchema((build) => {
    const { applications, alert } = build.pgResources;
    const { recent_usage: recentUsage, cluster_buckets: clusterBuckets } = build.pgResources;
    if (!applications || !alert || !recentUsage || !clusterBuckets) {
      throw new Error("what the subscriptions read is missing");
    }
    return {
      typeDefs: gql`
        type ApplicationStatus {
          at: Datetime!
          application: Application
        }

        type ApplicationsStatus {
          at: Datetime!
          """In the order of the ids; null for one that you may not see."""
          applications: [Application]!
        }

        type OverviewStatus {
          at: Datetime!
          """As recentUsage answers it."""
          usage: [RecentUsage]!
          """As clusterBuckets answers it."""
          buckets: [ClusterBucket]!
        }

        extend type Subscription {
          """What applications take now, and what clusters hold, every two seconds."""
          overviewStatus: OverviewStatus
          """An application as it is now, once a second: ask it for its buckets."""
          applicationStatus(appId: UUID!): ApplicationStatus
          """Many applications as they are now, once a second."""
          applicationsStatus(appIds: [UUID!]!): ApplicationsStatus
          """Each alert that is triggered, acknowledged or resolved."""
          alertChanged: Alert
        }
      `,
      objects: {
        ApplicationStatus: {
          plans: {
            application: ($status: Step) =>
              applications.get({ app_id: ($status as ObjectOfStatus).get("appId") }),
          },
        },
        ApplicationsStatus: {
          plans: {
            applications: ($status: Step) =>
              each(($status as ObjectOfStatus).get("appIds"), ($appId) =>
                applications.get({ app_id: $appId }),
              ),
          },
        },
        OverviewStatus: {
          plans: {
            usage: () => recentUsage.execute([]),
            buckets: () => clusterBuckets.execute([]),
          },
        },
        Subscription: {
          plans: {
            overviewStatus: {
              subscribePlan: () =>
                listen(lambda(context().get("apiRequest"), overview), constant("overview")),
              plan: ($at: Step) => object({ at: $at }),
            },
            applicationsStatus: {
              subscribePlan: () =>
                listen(lambda(context().get("apiRequest"), looks), constant("looks")),
              plan: ($at: Step, fieldArgs) =>
                object({ at: $at, appIds: fieldArgs.getRaw("appIds") }),
            },
            applicationStatus: {
              subscribePlan: () =>
                listen(lambda(context().get("apiRequest"), looks), constant("looks")),
              plan: ($at: Step, fieldArgs) => object({ at: $at, appId: fieldArgs.getRaw("appId") }),
            },
            alertChanged: {
              subscribePlan: () =>
                listen(
                  lambda(
                    [context().get("pgSubscriber"), context().get("apiRequest")] as const,
                    alerts,
                  ),
                  constant("alerts"),
                ),
              plan($payload: Step) {
                const $key = $payload as Step<AlertKey>;
                return alert.get({
                  history_id: lambda($key, (key) => key.history_id, true),
                  triggered_at: lambda($key, (key) => key.triggered_at, true),
                });
              },
            },
          },
        },
      },
    };
  });
}

interface ObjectOfStatus extends Step {
  get(key: "appId"): Step;
  get(key: "appIds"): Step<readonly string[]>;
}
