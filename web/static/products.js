// The shelves: categories, and the products of one, of all, or of a search, page by page.

import { $, element, explain } from "./dom.js";
import { formatMoney } from "./money.js";

const CATALOG = "souk.catalog.v1.CatalogService";
const SEARCH = "souk.search.v1.SearchService";
const PAGE_SIZE = 24;
const MAX_CATEGORIES = 100;
/** What one call may ask for. */
const MAX_REFRESHED = 200;
/** From how many pieces on a product is said to run out. */
const FEW = 5;

export class Products {
  /** `add(product)` is what a card's button does. */
  constructor(client, add) {
    this.client = client;
    this.add = add;
    this.query = "";
    this.category = "";
    this.next = "";
    this.turn = 0;
    $("more").addEventListener("click", () => this.show({ append: true }));
    $("retry").addEventListener("click", () => this.open());
  }

  /** Everything, from the beginning. */
  async open() {
    await Promise.all([this.showCategories().catch(() => {}), this.show()]); // the products say what is wrong
  }

  search(query) {
    if (query === this.query) return;
    this.query = query;
    this.show();
  }

  async show({ append = false } = {}) {
    const turn = ++this.turn;
    const grid = $("products");
    grid.setAttribute("aria-busy", "true");
    try {
      const { products, next, total } = await this.#page(append ? this.next : "");
      if (turn !== this.turn) return; // a newer question has been asked meanwhile
      const cards = products.map((product) => this.#card(product));
      if (append) grid.append(...cards);
      else grid.replaceChildren(...cards);
      this.next = next;
      $("more").hidden = !next;
      if (append) cards[0]?.querySelector("button").focus();
      else this.#tell(found(this.query, total, products.length));
    } catch (error) {
      if (turn !== this.turn) return;
      this.#tell(explain(error), { broken: true });
    } finally {
      if (turn === this.turn) grid.setAttribute("aria-busy", "false");
    }
  }

  /** Reads price and stock of what is shown again, without moving it. */
  async refresh() {
    const cards = [...$("products").children].slice(0, MAX_REFRESHED);
    if (!cards.length) return;
    const product_ids = cards.map((card) => card.dataset.product);
    const { products } = await this.client.call(`${CATALOG}/BatchGetProducts`, { product_ids }).catch(() => ({ products: [] }));
    const now = new Map(products.map((product) => [product.product_id, product]));
    for (const card of cards) {
      const product = now.get(card.dataset.product);
      if (product) this.#fill(card, product);
    }
  }

  async #page(from) {
    const where = { category_id: this.category || null, page_size: PAGE_SIZE, page_token: from };
    if (this.query) {
      const answer = await this.client.call(`${SEARCH}/Search`, { q: this.query, ...where });
      const products = answer.hits.map((hit) => hit.product);
      return { products, next: answer.next_page_token, total: answer.total };
    }
    const { products, next_page_token } = await this.client.call(`${CATALOG}/ListProducts`, where);
    return { products, next: next_page_token };
  }

  #tell(text, { broken = false } = {}) {
    $("notice-text").textContent = text;
    $("notice").hidden = !text;
    $("notice").classList.toggle("broken", broken);
    $("retry").hidden = !broken;
  }

  #card(product) {
    return this.#fill($("product").content.cloneNode(true).firstElementChild, product);
  }

  #fill(card, product) {
    const part = (name) => card.querySelector(name);
    card.dataset.product = product.product_id;
    if (product.picture && part("img").getAttribute("src") !== product.picture) part("img").src = product.picture;
    part("h2").textContent = product.name;
    part(".description").textContent = product.description;
    part(".price").textContent = formatMoney(product.price);
    const left = product.available_quantity;
    const soldOut = left === 0;
    card.classList.toggle("sold-out", soldOut);
    part(".few").textContent = left > 0 && left <= FEW ? (left === 1 ? "Last one" : `Only ${left} left`) : "";
    const button = part("button");
    button.dataset.sku = product.sku;
    button.disabled = soldOut;
    button.textContent = soldOut ? "Sold out" : "Add";
    button.setAttribute("aria-label", soldOut ? `${product.name} is sold out` : `Add ${product.name} to the basket`);
    button.onclick = () => this.add(product);
    return card;
  }

  async showCategories() {
    const { categories } = await this.client.call(`${CATALOG}/ListCategories`, { page_size: MAX_CATEGORIES });
    const chips = [{ category_id: "", name: "Everything" }, ...categories].map(({ category_id, name }) => {
      const chip = element("button", { type: "button", textContent: name });
      chip.setAttribute("aria-pressed", String(category_id === this.category));
      chip.addEventListener("click", () => {
        this.category = category_id;
        for (const other of chips) other.setAttribute("aria-pressed", String(other === chip));
        this.show();
      });
      return chip;
    });
    $("categories").replaceChildren(...chips);
  }
}

function found(query, total, shown) {
  if (!shown) return query ? `Nothing found for “${query}”.` : "There is nothing here yet.";
  if (!query) return "";
  return total === 1 ? `One product for “${query}”` : `${total} products for “${query}”`;
}
