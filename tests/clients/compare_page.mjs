// node compare_page.mjs ENVIRONMENT CHROMIUM FOLDER: judges FOLDER/page.html as a person would; what it saw, as JSON.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [environment, executablePath, folder] = process.argv.slice(2);
const { chromium } = createRequire(`${environment}/`)("playwright-core");
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
args.push("--disable-background-networking", "--disable-component-update", "--disable-sync");
const address = pathToFileURL(`${folder}/page.html`).href;
const seen = { requests: [], errors: [], shown: [], counts: [], widths: [], targets: [], focus: [] };

const size = { width: 1200, height: 800 };
const options = { executablePath, headless: true, args, viewport: size, acceptDownloads: true };
const browser = await chromium.launchPersistentContext(`${folder}/profile`, options);
try {
  const page = await browser.newPage();
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("pageerror", (error) => seen.errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("dialog", (dialog) => (seen.errors.push(dialog.message()), dialog.dismiss()));
  const text = (id) => page.locator(`#${id}`).evaluate((element) => element.textContent);
  const count = async () => seen.counts.push(await text("count"));
  const look = async () => seen.shown.push([await text("prompt"), await text("first"), await text("second")]);

  await page.goto(address);
  for (const [width, name] of [[1200, "desktop"], [360, "phone"]]) {
    await page.setViewportSize({ width, height: name === "phone" ? 740 : 800 });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png` });
    }
    seen.widths.push(await page.evaluate(() => document.documentElement.scrollWidth));
  }
  const buttons = await page.locator("button").all();
  for (const button of buttons) seen.targets.push((await button.boundingBox()).height);
  await page.setViewportSize(size);

  await look();
  for (const key of ["ArrowLeft", "b", "Space"]) await page.keyboard.press(key), await look();
  await count(); // 3 of 6
  for (const key of ["z", "Backspace"]) await page.keyboard.press(key);
  await count(); // 1 of 6
  await page.keyboard.press("2");
  await page.reload();
  await count(); // 2 of 6: kept
  await page.locator("button", { hasText: "Equal" }).click();
  seen.focus.push(await page.evaluate(() => document.activeElement.id));
  await page.keyboard.press("Space"); // equal once more: the button just clicked does not take the key
  await page.locator("[data-vote=second]").focus();
  await page.keyboard.press("Space"); // that button's own key
  await count(); // 5 of 6
  await page.keyboard.press("Control+a"); // the browser's own
  await count(); // still 5 of 6
  await page.keyboard.press("A");
  await page.keyboard.press("ArrowRight"); // nothing is left to judge
  await count(); // 6 of 6
  seen.done = await page.locator("#done").isVisible();
  await page.screenshot({ path: `${folder}/done.png` });
  const waiting = page.waitForEvent("download");
  await page.locator("#export").click();
  const download = await waiting;
  seen.file = download.suggestedFilename();
  await download.saveAs(`${folder}/votes.json`);
  process.stdout.write(JSON.stringify({ ...seen, browser: browser.browser()?.version() }));
} finally {
  await browser.close();
}
