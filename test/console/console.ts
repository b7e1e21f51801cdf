import type { Page } from "playwright-core";
import { beforeAll } from "vitest";
import { builtConsole } from "../../src/api/console/build-console.ts";
import { password, tenantOf } from "../api/api.ts";
import { type ApiWorld, serveTwoTenants } from "../api/world.ts";
import { newVisitor, openBrowser, type Visitor } from "./browser.ts";

export interface ConsoleWorld extends ApiWorld {
  /** The cluster of `mine`, which has a quota of its own here. */
  readonly clusterName: string;
  readonly appName: string;
  visitor(): Promise<Visitor>;
  /** A browser in which a user of the tenant `mine` has signed in. */
  signedIn(role: string, path?: string): Promise<Visitor>;
  /** Decisions of the application of `mine`, as a gateway asks for them. */
  consume(operation: string, bytes: number, times: number): Promise<void>;
}

/** A product with two tenants and traffic, and a browser. */
export async function openConsole(): Promise<ConsoleWorld> {
  const [world] = await Promise.all([
    serveTwoTenants({ API_MAX_REQUESTS_OF_USER: "8" }),
    builtConsole(),
  ]);
  const { sql } = world.database;
  const { clusterId, appId } = world.mine;
  await sql`
    select rate_limiter_internal.publish_quota_at(
      now(), null, ${clusterId}, 'enforce', null, null,
      '{"iops_limit": 1000, "iops_burst": 2000, "burst_duration_seconds": 10,
        "refill_rate": 1000}',
      '{"bandwidth_limit_bps": 200000, "bandwidth_burst_bps": 400000,
        "burst_duration_seconds": 10, "refill_rate_bps": 200000}',
      'what the disks can do'
    )
  `;
  const browser = await openBrowser();
  return {
    ...world,
    clusterName: "cluster of mine",
    appName: "application of mine",
    visitor: () => newVisitor(browser, world.api.url),
    async signedIn(role, path = "/") {
      const visitor = await newVisitor(browser, world.api.url);
      await visitor.page.goto(path);
      await signIn(visitor.page, `${role}@mine.example`);
      await visitor.page.getByRole("navigation").waitFor();
      return visitor;
    },
    async consume(operation, bytes, times) {
      const app = world.database.as("rate_limiter_app");
      for (let done = 0; done < times; done += 1) {
        await app`select from rate_limiter.consume(${appId}, ${operation}, ${bytes})`;
      }
    },
  };
}

export async function signIn(page: Page, email: string, secret = password): Promise<void> {
  await page.getByLabel("Tenant").fill(tenantOf(email));
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password").fill(secret);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** The world of a file, made before its tests. */
export function consoleOfFile(): () => ConsoleWorld {
  let world: ConsoleWorld | undefined;
  beforeAll(async () => {
    world = await openConsole();
  });
  return () => {
    if (world === undefined) throw new Error("the console is not open yet");
    return world;
  };
}
