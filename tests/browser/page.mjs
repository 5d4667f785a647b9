// A customer at the page, in Chromium. Run by tests/browser.rs as
//
//     node page.mjs SCENARIO PAGE_URL CHROMIUM
//
// Prints what was seen as one line of JSON; what it means is for the test to say. Ends with an error when something that was
// waited for did not come.

import { createRequire } from "node:module";

// Not an import: those do not look where NODE_PATH says.
const { chromium } = createRequire(import.meta.url)("playwright-core");

const PATIENCE_MS = 60_000;
const PASSWORD = "correct horse battery";

/** Opens the page; what the browser complains about is collected in `seen`. */
async function open(browser, url, seen) {
  const context = await browser.newContext();
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  await page.goto(url);
  await settled(page);
  return page;
}

/** Waits until the products that were asked for are there. */
async function settled(page) {
  await page.waitForSelector('#products[aria-busy="false"]');
}

async function names(page) {
  return page.locator(".card h2").allTextContents();
}

/** Puts the first product into the basket and goes to pay with `card`. */
async function fillBasket(page, card) {
  await page.locator(".card:not(.sold-out) button").first().click();
  await page.click("#open-basket");
  await page.fill("#email", `page-${crypto.randomUUID()}@souk.example`);
  await page.fill("#password", PASSWORD);
  await page.check(`input[name=card][value=${card}]`);
}

async function order(page, card) {
  await fillBasket(page, card);
  await page.click("#place");
  await page.waitForSelector("#order:not([hidden])");
}

/** Waits for a step with this title. */
async function step(page, title) {
  await page.locator(".steps li span").getByText(title, { exact: true }).waitFor();
}

/** The order as the page shows it. */
async function shown(page) {
  return {
    order_id: await page.locator("#order .id").textContent(),
    headline: await page.locator("#order h3").textContent(),
    words: await page.locator("#order .words").textContent(),
    state: await page.locator("#order .state").getAttribute("data-state"),
    steps: await page.locator(".steps li span").allTextContents(),
    basket: Number(await page.locator("#count").textContent()),
    total: await page.locator("#order dd").first().textContent(),
  };
}

const scenarios = {
  /** Looks around: everything, a category, a search with a typing error, suggestions, nothing found. */
  async browse(page, seen) {
    seen.everything = await names(page);
    seen.pictures = await page.locator(".card img").first().evaluate((picture) => picture.decode().then(() => picture.naturalWidth));
    seen.sold_out = await page.locator(".card.sold-out h2").allTextContents();
    seen.sold_out_can_be_added = await page.locator(".card.sold-out button:enabled").count();
    await page.locator("#categories button").getByText("Kitchen & Table", { exact: true }).click();
    await page.waitForFunction((before) => document.querySelector(".card h2").textContent !== before, seen.everything[0]);
    seen.category = await names(page);
    await page.locator("#categories button").first().click();
    await page.locator("#query").pressSequentially("teapto");
    await page.locator("#suggestions [role=option]").first().waitFor();
    seen.suggestions = await page.locator("#suggestions [role=option]").allTextContents();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    seen.chosen = await page.inputValue("#query");
    await page.getByText("One product for", { exact: false }).waitFor();
    seen.found = await names(page);
    await page.fill("#query", "zzqqxx");
    await page.getByText("Nothing found for").waitFor();
    seen.nothing = await names(page);
  },

  /** Forgets to say who pays, then places an order and follows it. */
  async order(page, seen) {
    await page.locator(".card:not(.sold-out) button").first().click();
    await page.click("#open-basket");
    await page.click("#place");
    seen.problem = await page.locator("#problem").textContent();
    seen.invalid = await page.locator("#checkout [aria-invalid]").evaluateAll((fields) => fields.map(({ id }) => id));
    await page.keyboard.press("Escape");
    await order(page, "tok_visa");
    await step(page, "Payment captured");
    seen.order = await shown(page);
  },

  /** Loses the answer to PlaceOrder once: the page asks again. */
  async lost_answer(page, seen) {
    seen.tries = 0;
    await page.route(/OrderService\/PlaceOrder$/, async (route) => {
      seen.tries += 1;
      if (seen.tries > 1) return route.continue();
      await route.fetch(); // it arrives; its answer does not
      return route.abort();
    });
    await order(page, "tok_visa");
    await step(page, "Payment captured");
    seen.order = await shown(page);
    seen.complaints = seen.complaints.filter((complaint) => !complaint.includes("net::ERR_FAILED"));
  },

  /** Cancels an order that is paid. */
  async cancel(page, seen) {
    await order(page, "tok_visa");
    await step(page, "Payment captured");
    await page.click("#cancel");
    await step(page, "Stock released");
    seen.order = await shown(page);
    seen.can_cancel = await page.locator("#cancel").isVisible();
  },

  /** Pays with a card that is declined, then with another one. */
  async declined(page, seen) {
    await order(page, "tok_declined");
    await step(page, "Stock released");
    await page.locator('#order .state[data-state="ORDER_STATE_CANCELLED"]').waitFor();
    seen.refused = await shown(page);
    await page.click("#leave");
    await page.check("input[name=card][value=tok_visa]");
    await page.click("#place");
    await step(page, "Payment captured");
    seen.order = await shown(page);
  },

  /** Approves a payment on the bank's page, in another tab. */
  async challenge(page, seen) {
    await order(page, "tok_3ds");
    await step(page, "Waiting for your approval");
    seen.waiting = await shown(page);
    const [bank] = await Promise.all([page.context().waitForEvent("page"), page.getByText("Approve at your bank").click()]);
    await bank.getByText("Approve", { exact: true }).click();
    await bank.getByText("Approved.").waitFor();
    await step(page, "Payment captured");
    seen.order = await shown(page);
  },

  /** Comes back with a token of another shop, and finds the shop away for a moment. */
  async away(page, seen) {
    await page.evaluate(() => sessionStorage.setItem("souk.token", "of.another.shop"));
    await page.reload();
    await settled(page);
    seen.with_stale_token = await names(page);
    seen.token = await page.evaluate(() => sessionStorage.getItem("souk.token"));

    const calls = /\/souk\./;
    await page.route(calls, (route) => route.abort());
    await page.locator("#categories button").nth(1).click();
    await page.locator("#retry").waitFor();
    seen.away = await page.locator("#notice-text").textContent();
    await page.unroute(calls);
    await page.click("#retry");
    await page.locator("#notice").waitFor({ state: "hidden" });
    seen.back = await names(page);

    await page.route(/contract.json$/, (route) => route.abort());
    await page.reload();
    await page.locator("#notice").waitFor();
    seen.without_contract = await page.locator("#notice").textContent();
    // The browser's own complaints about what the test cut off, and about the stale token's 401, are no news.
    seen.complaints = seen.complaints.filter((complaint) => !complaint.startsWith("Failed to load resource"));
  },
};

const [scenario, url, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const seen = { complaints: [] };
try {
  await scenarios[scenario](await open(browser, url, seen), seen);
  console.log(JSON.stringify(seen));
} catch (error) {
  console.error(error, seen);
  process.exitCode = 1;
} finally {
  await browser.close();
}
