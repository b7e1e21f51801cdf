import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll } from "vitest";
import { unlessRequired } from "../harness/index.ts";

const executablePath = "/usr/bin/chromium-headless-shell";
const axeSource = readFileSync(
  createRequire(import.meta.url).resolve("axe-core/axe.min.js"),
  "utf8",
);

/** Why the console is not tested here, if it is not. */
export const missing = unlessRequired(
  existsSync(executablePath)
    ? undefined
    : "Chromium is not installed (Debian: chromium-headless-shell)",
);

export async function openBrowser(): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath,
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ],
  });
  afterAll(() => browser.close());
  return browser;
}

export interface Visitor {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What the page complained of: failures of scripts, and what its policy refused. */
  readonly complaints: readonly string[];
  /** Requests that went elsewhere. */
  readonly strangers: readonly string[];
}

/** A browser of its own, with nothing in it. */
export async function newVisitor(browser: Browser, url: string): Promise<Visitor> {
  const context = await browser.newContext({
    ...{ baseURL: url, viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" },
    timezoneId: "Europe/Berlin",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const complaints: string[] = [];
  const strangers: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy|Trusted Type/i.test(message.text()))
      complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) strangers.push(request.url());
  });
  return { page, context, complaints, strangers };
}

/** What axe-core finds wrong with the page as it stands, by all of its rules or by one. */
export async function violationsOf(page: Page, rule?: string): Promise<string[]> {
  await page.evaluate(axeSource);
  return page.evaluate(async (only) => {
    // biome-ignore lint/suspicious/noExplicitAny: axe-core puts itself there.
    const { violations } = await (globalThis as any).axe.run(only ? { runOnly: [only] } : {});
    return violations.flatMap(({ id, nodes }: { id: string; nodes: { html: string }[] }) =>
      nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`),
    );
  }, rule);
}

/** Whether the page is wider than its window. */
export function isTooWide(page: Page): Promise<boolean> {
  return page.evaluate("document.documentElement.scrollWidth > innerWidth");
}
