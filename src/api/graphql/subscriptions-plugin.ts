import {
  constant,
  context,
  type GrafastSubscriber,
  lambda,
  listen,
  object,
  type Step,
} from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import type { Sql } from "../../postgres/connect.ts";
import { alertChannel } from "../live/alert-channel.ts";
import { ticks } from "../live/ticks.ts";
import { whileAuthorized } from "../live/while-authorized.ts";
import { whileSignedIn } from "../live/while-signed-in.ts";
import type { ApiRequest } from "../request.ts";

type Subscriber = GrafastSubscriber<Record<string, string>>;

/** Buckets change with every decision without a notification: they are polled at this interval. */
const millisecondsBetweenLooks = 1_000;

export function subscriptionsPlugin(sql: Sql): GraphileConfig.Plugin {
  const looks = (request: ApiRequest): Subscriber => ({
    subscribe: () => whileSignedIn(sql, request, ticks(millisecondsBetweenLooks)),
  });

  /** PostgreSQL's notifications, on the channel that the one who asks may hear. */
  const alerts = ([subscriber, request]: readonly [Subscriber | null, ApiRequest]): Subscriber => ({
    async subscribe() {
      if (subscriber === null) throw new Error("the server hears no notifications");
      const channel = await alertChannel(sql, request);
      const heard = whileSignedIn(sql, request, await subscriber.subscribe(channel));
      return whileAuthorized(sql, request, channel, heard);
    },
  });

  return extendSchema((build) => {
    const { applications, alert } = build.pgResources;
    if (applications === undefined || alert === undefined) {
      throw new Error("the tables of the subscriptions are missing");
    }
    return {
      typeDefs: gql`
        type ApplicationStatus {
          at: Datetime!
          application: Application
        }

        extend type Subscription {
          """An application as it is now, once a second: ask it for its buckets."""
          applicationStatus(appId: UUID!): ApplicationStatus
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
        Subscription: {
          plans: {
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
                const $key = lambda($payload, alertKeyOf, true);
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
}

interface AlertKey {
  readonly history_id: string | null;
  readonly triggered_at: string | null;
}

const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;
const noAlert: AlertKey = { history_id: null, triggered_at: null };

/** Any SQL login may send a notification: what is malformed names no alert. */
export function alertKeyOf(payload: unknown): AlertKey {
  try {
    const { history_id, triggered_at } = Object(JSON.parse(`${payload}`));
    if (typeof history_id !== "string" || !uuid.test(history_id)) return noAlert;
    if (typeof triggered_at !== "string" || Number.isNaN(Date.parse(triggered_at))) return noAlert;
    return { history_id, triggered_at };
  } catch {
    return noAlert;
  }
}
