// The shop's front: products, search, basket, checkout.

import { Client, RpcError } from "./grpc-web.js";
import { formatMoney, multiply, add } from "./money.js";
import { followOrder } from "./order.js";
import { Contract } from "./protobuf.js";

const PAGE_SIZE = 24;
const MAX_PIECES = 99;
const TYPING_PAUSE_MS = 150;
const SESSION = "souk.token";
const BASKET = "souk.basket";
const CATALOG = "souk.catalog.v1.CatalogService";
const SEARCH = "souk.search.v1.SearchService";
const USERS = "souk.user.v1.UserService";
const ORDERS = "souk.order.v1.OrderService";

const $ = (id) => document.getElementById(id);
const client = new Client(await Contract.load(), { token: () => sessionStorage.getItem(SESSION) });

/** What is shown: the words searched for, the chosen category, where the next page begins. */
const view = { query: "", category: "", next: "", turn: 0 };
/** Product id → { product, quantity }. */
const basket = new Map(JSON.parse(sessionStorage.getItem(BASKET) ?? "[]"));
/** Stays the same through retries of one order, so that a lost answer never orders twice. */
let requestId = crypto.randomUUID();

// Products

async function page(from) {
  if (view.query) {
    const found = await client.call(`${SEARCH}/Search`, {
      q: view.query, category_id: view.category || null, page_size: PAGE_SIZE, page_token: from,
    });
    return { products: found.hits.map((hit) => hit.product), next: found.next_page_token };
  }
  const listed = await client.call(`${CATALOG}/ListProducts`, {
    category_id: view.category || null, page_size: PAGE_SIZE, page_token: from,
  });
  return { products: listed.products, next: listed.next_page_token };
}

async function show({ append = false } = {}) {
  const turn = ++view.turn;
  const grid = $("products");
  grid.setAttribute("aria-busy", "true");
  try {
    const { products, next } = await page(append ? view.next : "");
    if (turn !== view.turn) return; // a newer question has been asked meanwhile
    if (!append) grid.replaceChildren();
    grid.append(...products.map(card));
    view.next = next;
    $("more").hidden = !next;
    notice(products.length || append ? "" : `Nothing found for “${view.query}”.`);
  } catch (error) {
    if (turn === view.turn) notice(`The shop cannot be reached: ${error.message}`);
  } finally {
    grid.setAttribute("aria-busy", "false");
  }
}

function card(product) {
  const node = $("product").content.cloneNode(true);
  const picture = node.querySelector("img");
  if (product.picture) picture.src = product.picture;
  picture.alt = product.name;
  node.querySelector("h3").textContent = product.name;
  node.querySelector(".description").textContent = product.description;
  node.querySelector(".price").textContent = formatMoney(product.price);
  const button = node.querySelector("button");
  button.dataset.sku = product.sku;
  if (product.available_quantity === 0) {
    button.disabled = true;
    button.textContent = "Sold out";
  }
  button.addEventListener("click", () => change(product, 1));
  return node;
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

async function showCategories() {
  const { categories } = await client.call(`${CATALOG}/ListCategories`, { page_size: 100 });
  const chips = [{ category_id: "", name: "Everything" }, ...categories].map(({ category_id, name }) => {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.textContent = name;
    chip.setAttribute("aria-pressed", String(category_id === view.category));
    chip.addEventListener("click", () => {
      view.category = category_id;
      for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
      show();
    });
    return chip;
  });
  $("categories").replaceChildren(...chips);
}

// Search

let typing;
$("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(async () => {
    view.query = $("query").value.trim();
    show();
    if (!view.query) return;
    try {
      const { suggestions } = await client.call(`${SEARCH}/Suggest`, { q: view.query });
      $("suggestions").replaceChildren(...suggestions.map(({ text }) => new Option("", text)));
    } catch {
      $("suggestions").replaceChildren(); // the search itself says what is wrong
    }
  }, TYPING_PAUSE_MS);
});
$("search").addEventListener("submit", (event) => event.preventDefault());
$("more").addEventListener("click", () => show({ append: true }));

// Basket

function change(product, by) {
  const quantity = Math.min((basket.get(product.product_id)?.quantity ?? 0) + by, MAX_PIECES);
  if (quantity > 0) basket.set(product.product_id, { product, quantity });
  else basket.delete(product.product_id);
  requestId = crypto.randomUUID(); // another basket is another order
  sessionStorage.setItem(BASKET, JSON.stringify([...basket]));
  showBasket();
}

function total() {
  return [...basket.values()].map(({ product, quantity }) => multiply(product.price, quantity)).reduce(add);
}

function showBasket() {
  const held = [...basket.values()];
  $("count").textContent = held.reduce((sum, { quantity }) => sum + quantity, 0);
  $("lines").replaceChildren(...held.map(line));
  $("empty").hidden = held.length > 0;
  $("pay").hidden = held.length === 0;
  if (held.length) $("total").textContent = formatMoney(total());
}

function line({ product, quantity }) {
  const item = document.createElement("li");
  const picture = Object.assign(new Image(), { src: product.picture, alt: "" });
  const middle = document.createElement("div");
  const name = Object.assign(document.createElement("div"), { textContent: product.name });
  const counter = Object.assign(document.createElement("div"), { className: "quantity" });
  const button = (label, by, says) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: label });
    made.setAttribute("aria-label", `${says} ${product.name}`);
    made.addEventListener("click", () => change(product, by));
    return made;
  };
  counter.append(button("−", -1, "One less of"), String(quantity), button("+", 1, "One more of"));
  middle.append(name, counter);
  const price = Object.assign(document.createElement("strong"), {
    textContent: formatMoney(multiply(product.price, quantity)),
  });
  item.append(picture, middle, price);
  return item;
}

$("open-basket").addEventListener("click", () => $("basket").showModal());
$("basket").querySelector(".close").addEventListener("click", () => $("basket").close());
$("basket").addEventListener("close", () => {
  if ($("order").hidden) return;
  $("order").hidden = true;
  $("checkout").hidden = false;
  $("basket-title").textContent = "Your basket";
});

// Checkout

/** Signs in, making the account where there is none. */
async function signIn() {
  const email = $("email").value.trim();
  const password = $("password").value;
  let answer;
  try {
    answer = await client.call(`${USERS}/Login`, { email, password });
  } catch (error) {
    if (error.reason !== "BAD_CREDENTIALS") throw error;
    answer = await register(email, password);
  }
  sessionStorage.setItem(SESSION, answer.access_token);
}

async function register(email, password) {
  try {
    return await client.call(`${USERS}/Register`, {
      email, password, display_name: $("name").value.trim(), request_id: crypto.randomUUID(),
    });
  } catch (error) {
    if (error.reason !== "EMAIL_TAKEN") throw error;
    throw new RpcError(error.code, "That is not the password of this account.");
  }
}

function order() {
  const value = (id) => $(id).value.trim();
  return {
    request_id: requestId,
    lines: [...basket.values()].map(({ product, quantity }) => ({ product_id: product.product_id, quantity })),
    shipping_address: {
      recipient: value("name"), line1: value("street"), postal_code: value("postcode"), city: value("city"), country: "FR",
    },
    payment_token: new FormData($("checkout")).get("card"),
    expected_total: total(),
    email: value("email"),
  };
}

$("checkout").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!$("checkout").reportValidity()) return;
  problem("");
  $("place").disabled = true;
  $("place").textContent = "Placing…";
  try {
    sessionStorage.removeItem(SESSION);
    await signIn();
    const placed = await client.call(`${ORDERS}/PlaceOrder`, order());
    basket.clear();
    sessionStorage.removeItem(BASKET);
    requestId = crypto.randomUUID();
    showBasket();
    $("checkout").hidden = true;
    $("basket-title").textContent = "Your order";
    $("order").hidden = false;
    followOrder(client, placed, $("order")).then(() => show());
  } catch (error) {
    problem(explain(error));
  } finally {
    $("place").disabled = false;
    $("place").textContent = "Place order";
  }
});

function explain(error) {
  if (!error.fields?.length) return error.message;
  return error.fields.map(({ field, description }) => `${field}: ${description}`).join("; ");
}

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

showBasket();
await Promise.all([showCategories(), show()]).catch((error) => notice(error.message));
