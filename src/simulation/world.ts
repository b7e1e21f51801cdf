import { Random } from "../random.ts";
import { LeaseDatabase } from "./database/lease-database.ts";
import { Application, Cluster, type Terms } from "./database/owners.ts";
import { ratesOf } from "./demand.ts";
import { type Outcome, SimulatedGateway } from "./gateway.ts";
import { Network } from "./network.ts";
import type { SimulationOptions } from "./options.ts";
import { SimulatedServer } from "./server.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** An application as it is asked for. */
export interface Demand {
  readonly application: Application;
  /** Operations a second, through all of its gateways. */
  readonly rate: number;
  readonly phase: number;
  readonly outcome: Outcome;
  readonly callers: readonly Caller[];
}

/** One of an application's gateways, by its number. */
interface Caller {
  readonly gateway: number;
  /** Operations that are due, and a part of the next one. */
  due: number;
}

export interface SimulatedWorld {
  readonly database: LeaseDatabase;
  readonly server: SimulatedServer;
  readonly clusters: readonly Cluster[];
  readonly demands: readonly Demand[];
  readonly gateways: SimulatedGateway[];
  /** In the place of one that died. */
  openGateway(place: number): SimulatedGateway;
}

export function makeWorld(options: SimulationOptions, time: VirtualTime): SimulatedWorld {
  const random = new Random(options.seed);
  const rates = ratesOf(options, random);
  const clusters = clustersOf(options, rates);
  const demands = rates.map((rate, place) => demandOf(options, random, clusters, rate, place));
  const applications = new Map(
    demands.map(({ application }) => [application.id, application] as const),
  );
  const database = new LeaseDatabase();
  const server = new SimulatedServer(database, applications, () => Math.round(time.now * 1_000));
  let opened = 0;
  const openGateway = (place: number) => {
    opened += 1;
    const answer = server.answer.bind(server);
    const network = new Network(time, options.rttMs, answer);
    return new SimulatedGateway(time, network, `gateway ${place}/${opened}`);
  };
  const gateways = Array.from({ length: options.gateways }, (_, place) => openGateway(place));
  return { database, server, clusters, demands, gateways, openGateway };
}

function clustersOf(options: SimulationOptions, rates: readonly number[]): Cluster[] {
  const sums = new Array<number>(options.clusters).fill(0);
  for (const [place, rate] of rates.entries())
    sums[place % options.clusters] = (sums[place % options.clusters] ?? 0) + quotaOf(options, rate);
  return sums.map((sum) => {
    const rate = Math.max(Math.ceil(sum * options.layer1), 1);
    return new Cluster(termsOf(rate, options), 0);
  });
}

function demandOf(
  options: SimulationOptions,
  random: Random,
  clusters: readonly Cluster[],
  rate: number,
  place: number,
): Demand {
  const cluster = clusters[place % options.clusters] as Cluster;
  const quota = termsOf(quotaOf(options, rate), options);
  const tenant = String(Math.floor(place / options.clusters) % options.tenants);
  const first = random.between(0, options.gateways - 1);
  const spread = Math.min(options.spread, options.gateways);
  return {
    application: new Application(idOf(place), tenant, cluster, quota, 0),
    rate,
    phase: random.between(0, 9),
    outcome: { asked: 0, admitted: 0, denied: 0, failed: 0, waits: [] },
    callers: Array.from({ length: spread }, (_, number) => ({
      gateway: (first + number) % options.gateways,
      due: random.next(),
    })),
  };
}

/** Whole tokens a second. */
function quotaOf({ load, skew }: SimulationOptions, rate: number): number {
  // A burst of a second fits in what ten seconds would give it.
  const most = skew === "bursts" ? rate * 10 : rate;
  return Math.max(Math.ceil(most / load), 1);
}

function termsOf(rate: number, { burst }: SimulationOptions): Terms {
  return { rate, capacity: Math.ceil(rate * burst) };
}

function idOf(place: number): string {
  return `00000000-0000-4000-8000-${place.toString(16).padStart(12, "0")}`;
}
