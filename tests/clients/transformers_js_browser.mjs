// node transformers_js_browser.mjs ENVIRONMENT CHROMIUM PROFILE PAGE: requests in, the page's answers out, as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [environment, executablePath, profile, address] = process.argv.slice(2);
const { chromium } = createRequire(`${environment}/`)("playwright-core");
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
args.push("--disable-background-networking", "--disable-component-update", "--disable-sync");

const browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args });
try {
  const page = await browser.newPage();
  const fetched = [];
  page.on("request", (request) => fetched.push(request.url()));
  page.on("pageerror", (error) => console.error(error.message));
  await page.goto(address);
  await page.waitForFunction(() => window.answers);
  const requests = JSON.parse(readFileSync(0, "utf-8"));
  const answer = await page.evaluate((wanted) => window.answers(wanted), requests);
  process.stdout.write(JSON.stringify({ ...answer, browser: browser.browser()?.version(), fetched }));
} finally {
  await browser.close();
}
