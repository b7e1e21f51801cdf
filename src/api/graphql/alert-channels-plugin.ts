import {
  type GraphQLInputFieldConfig,
  type GraphQLInputType,
  GraphQLList,
  GraphQLNonNull,
  GraphQLString,
} from "postgraphile/graphql";
import "postgraphile/graphile-build-pg";

interface Channel {
  readonly [field: string]: unknown;
}

interface Row {
  set(attribute: string, value: unknown): void;
}

/**
 * Where an alert is told, which the database keeps as a document with secrets: given as a list of
 * channels, and never shown but by AlertConfig.destinations.
 */
export const alertChannelsPlugin: GraphileConfig.Plugin = {
  name: "QosAlertChannelsPlugin",
  version: "1.0.0",
  before: ["QosSurfacePlugin"],
  schema: {
    hooks: {
      init(_, build) {
        build.registerInputObjectType(
          "AlertChannelInput",
          {},
          () => ({
            description: "One place that an alert is told to.",
            fields: {
              channel: {
                type: new GraphQLNonNull(inputType(build, "AlertChannel")),
                description: "By which way.",
              },
              events: {
                type: listOf(inputType(build, "AlertEvent")),
                description: "What is told there; all of it where absent.",
              },
              url: { type: GraphQLString, description: "Of a webhook or of Slack." },
              secret: {
                type: GraphQLString,
                description: "What a webhook's calls are signed by: 16 to 256 characters.",
              },
              to: { type: listOf(GraphQLString), description: "1 to 20 addresses of an email." },
            },
          }),
          "QosAlertChannels",
        );
        return _;
      },
      GraphQLInputObjectType_fields(fields, build, { Self }) {
        const { notificationConfig, ...others } = fields;
        if (notificationConfig === undefined) return fields;
        const list = listOf(inputType(build, "AlertChannelInput"));
        const channels: GraphQLInputFieldConfig & { apply(row: Row, value: unknown): void } = {
          type: Self.name.endsWith("Patch") ? list : new GraphQLNonNull(list),
          description: "Where it is told, at most 20 places; an empty list for none.",
          apply: (row, value) => row.set("notification_config", documentOf(value as Channel[])),
        };
        return { ...others, channels };
      },
    },
  },
};

function inputType(build: GraphileBuild.Build, name: string): GraphQLInputType {
  return build.getTypeByName(name) as GraphQLInputType;
}

function listOf(type: GraphQLInputType) {
  return new GraphQLList(new GraphQLNonNull(type));
}

/** What is null is not there. */
function documentOf(channels: readonly Channel[] | null) {
  const given = (channels ?? []).map((channel) =>
    Object.fromEntries(Object.entries(channel).filter(([, value]) => value !== null)),
  );
  return { channels: given };
}
