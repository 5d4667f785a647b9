// What somebody is about to buy: kept while the tab is open, priced again by the shop when it says so.

import { $, element } from "./dom.js";
import { add, formatMoney, multiply } from "./money.js";

const CATALOG = "souk.catalog.v1.CatalogService";
const STORED = "souk.basket";
/** Most pieces of one product; the shop takes more, a person seldom. */
const MAX_PIECES = 99;

/** Tells its listeners ("change") when it is another basket. */
export class Basket extends EventTarget {
  constructor() {
    super();
    /** Product id → { product, quantity }. */
    this.held = stored();
  }

  get isEmpty() {
    return this.held.size === 0;
  }

  get lines() {
    return [...this.held].map(([product_id, { quantity }]) => ({ product_id, quantity }));
  }

  get pieces() {
    return [...this.held.values()].reduce((sum, { quantity }) => sum + quantity, 0);
  }

  /** Undefined when empty. */
  get total() {
    const prices = [...this.held.values()].map(({ product, quantity }) => multiply(product.price, quantity));
    return prices.length ? prices.reduce(add) : undefined;
  }

  change(product, by) {
    const most = Math.min(MAX_PIECES, product.available_quantity ?? MAX_PIECES);
    const quantity = Math.min((this.held.get(product.product_id)?.quantity ?? 0) + by, most);
    if (quantity > 0) this.held.set(product.product_id, { product, quantity });
    else this.held.delete(product.product_id);
    this.#changed();
  }

  clear() {
    this.held.clear();
    this.#changed();
  }

  /** Takes the prices and the stock of now; what is not sold any more goes. */
  async refresh(client) {
    const product_ids = [...this.held.keys()];
    if (!product_ids.length) return;
    const { products } = await client.call(`${CATALOG}/BatchGetProducts`, { product_ids });
    const wanted = this.held;
    this.held = new Map();
    for (const product of products) {
      const quantity = Math.min(wanted.get(product.product_id).quantity, product.available_quantity ?? MAX_PIECES);
      if (quantity > 0 && !product.archived) this.held.set(product.product_id, { product, quantity });
    }
    this.#changed();
  }

  #changed() {
    sessionStorage.setItem(STORED, JSON.stringify([...this.held]));
    this.dispatchEvent(new Event("change"));
  }
}

function stored() {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(STORED) ?? "[]"));
  } catch {
    return new Map(); // written by another version of this page
  }
}

/** Keeps the drawer's lines, the total and the badge true. */
export function showBasket(basket) {
  const show = () => {
    $("count").textContent = basket.pieces;
    $("open-basket").setAttribute("aria-label", `Basket, ${basket.pieces} ${basket.pieces === 1 ? "piece" : "pieces"}`);
    const focused = document.activeElement?.dataset.key;
    $("lines").replaceChildren(...[...basket.held.values()].map((held) => line(basket, held)));
    if (focused) document.querySelector(`[data-key="${focused}"]`)?.focus();
    $("empty").hidden = !basket.isEmpty;
    $("pay").hidden = basket.isEmpty;
    if (!basket.isEmpty) $("total").textContent = formatMoney(basket.total);
  };
  basket.addEventListener("change", show);
  show();
}

function line(basket, { product, quantity }) {
  const picture = element("img", { src: product.picture, alt: "", width: 56, height: 56 });
  const button = (label, by, says) => {
    const made = element("button", { type: "button", textContent: label });
    made.dataset.key = `${product.product_id}${by}`;
    made.setAttribute("aria-label", `${says} ${product.name}`);
    made.addEventListener("click", () => basket.change(product, by));
    return made;
  };
  const more = button("+", 1, "One more of");
  more.disabled = quantity >= Math.min(MAX_PIECES, product.available_quantity ?? MAX_PIECES);
  const counter = element("div", { className: "quantity" },
    button("−", -1, "One less of"), element("span", { textContent: quantity }), more);
  const middle = element("div", {}, element("div", { className: "name", textContent: product.name }), counter);
  return element("li", {}, picture, middle, element("strong", { textContent: formatMoney(multiply(product.price, quantity)) }));
}
