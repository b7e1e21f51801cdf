import type { Command } from "commander";
import type { SimulationArguments } from "../../simulation/simulation-command.ts";

export function register(program: Command): void {
  program
    .command("simulate")
    .description("simulate many gateways with leases of many applications, in virtual time")
    .option("--gateways <number>", "processes with the client", "20")
    .option("--applications <number>", "in all clusters", "200")
    .option("--clusters <number>", "each with a layer 1", "2")
    .option("--tenants <number>", "of each cluster", "5")
    .option("--skew <name>", "of demand: even, zipf, bursts or alternation", "zipf")
    .option("--rate <number>", "operations a second in all", "2000")
    .option("--load <part>", "of its quota, what an application asks for", "0.8")
    .option("--layer1 <part>", "a cluster's quota, of those of its applications", "1")
    .option("--burst <seconds>", "in which an empty bucket fills", "1")
    .option("--spread <number>", "gateways that serve an application", "4")
    .option("--rtt <ms>", "round trip between gateway and database", "1")
    .option("--seconds <number>", "that are measured", "20")
    .option("--crashes <number>", "of gateways", "0")
    .option("--cuts <number>", "between gateways and the database", "0")
    .option("--cut-seconds <number>", "how long each lasts", "5")
    .option("--seed <number>", "decides on all that is random", "1")
    .option("--json <file>", "write the findings as JSON")
    .option("--verbose", "say each second as it passes")
    .action(async (options: SimulationArguments) => {
      const { simulationCommand } = await import("../../simulation/simulation-command.ts");
      console.log(await simulationCommand(options));
    });
}
