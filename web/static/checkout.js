// From a basket to an order.

import { $, explain, say } from "./dom.js";
import { followOrder } from "./order.js";

const ORDERS = "souk.order.v1.OrderService";
const COUNTRY = "FR";
/** How often an order whose answer was lost is sent again: the same request id never orders twice. */
const MAX_TRIES = 4;
const RETRY_MS = 700;
/** Refusals after which the basket is not what the shop sells. */
const OUTDATED = ["PRICE_CHANGED", "SOLD_OUT", "PRODUCT_NOT_FOUND", "WRONG_CURRENCY"];

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

export class Checkout {
  /** `sold()` is called when an order has changed what is in stock. */
  constructor(client, session, basket, sold) {
    this.client = client;
    this.session = session;
    this.basket = basket;
    this.sold = sold;
    /** The last order that was sent: the same order keeps its request id. */
    this.sent = { request_id: "", content: "" };
    $("checkout").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    $("sign-out").addEventListener("click", () => session.drop());
    session.addEventListener("change", () => this.#showWho());
    basket.addEventListener("change", () => say($("problem"), ""));
    $("basket").addEventListener("close", () => this.showBasket());
    this.#showWho();
  }

  /** Turns the drawer back from an order to the basket. */
  showBasket() {
    this.leave?.abort();
    $("order").hidden = true;
    $("checkout").hidden = false;
    $("basket-title").textContent = "Your basket";
  }

  #showWho() {
    const known = Boolean(this.session.token);
    $("signed-in").hidden = !known;
    $("credentials").hidden = known;
    $("credentials").disabled = known;
    $("who").textContent = this.session.email;
    $("email").value ||= this.session.email;
  }

  async #submit() {
    say($("problem"), "");
    if (!this.#valid()) return;
    this.#busy(true);
    try {
      if (!this.session.token) {
        const [email, password, name] = ["email", "password", "name"].map((id) => $(id).value.trim());
        await this.session.signIn(this.client, { email, password, name });
      }
      const placed = await this.#place();
      const refused = placed.placement === "PLACEMENT_REFUSED";
      if (!refused) this.basket.clear();
      this.sent = { request_id: "", content: "" };
      this.#showOrder(placed, refused);
    } catch (error) {
      await this.#refused(error);
    } finally {
      this.#busy(false);
    }
  }

  /** Shows what is wrong beside each field, and goes to the first. */
  #valid() {
    const wrong = [...$("checkout").elements].filter((field) => field.willValidate && !field.validity.valid);
    for (const field of $("checkout").querySelectorAll("input")) {
      field.toggleAttribute("aria-invalid", wrong.includes(field));
    }
    if (!wrong.length) return true;
    const name = (field) => field.labels[0].firstChild.textContent.trim();
    say($("problem"), wrong.map((field) => `${name(field)}: ${field.validationMessage}`).join("\n"));
    wrong[0].focus();
    return false;
  }

  #order() {
    const value = (id) => $(id).value.trim();
    return {
      lines: this.basket.lines,
      shipping_address: {
        recipient: value("name"), line1: value("street"), postal_code: value("postcode"), city: value("city"),
        country: COUNTRY,
      },
      payment_token: new FormData($("checkout")).get("card"),
      expected_total: this.basket.total,
      email: this.session.email,
    };
  }

  async #place() {
    const order = this.#order();
    const content = JSON.stringify(order);
    if (content !== this.sent.content) this.sent = { request_id: crypto.randomUUID(), content };
    const request = { request_id: this.sent.request_id, ...order };
    for (let tries = 1; ; tries++) {
      try {
        return await this.client.call(`${ORDERS}/PlaceOrder`, request);
      } catch (error) {
        if (!["UNAVAILABLE", "DEADLINE_EXCEEDED"].includes(error.code) || tries === MAX_TRIES) throw error;
        await pause(RETRY_MS * tries);
      }
    }
  }

  async #refused(error) {
    let words = explain(error);
    if (OUTDATED.includes(error.reason)) {
      await this.basket.refresh(this.client).catch(() => {});
      this.sold();
      words += this.basket.isEmpty ? " Your basket is empty now." : " Your basket shows what there is now.";
    } else if (error.code === "UNAUTHENTICATED" && error.reason !== "BAD_CREDENTIALS") {
      this.session.drop();
      words = "Please sign in again.";
    }
    say($("problem"), words);
    if (error.reason === "BAD_CREDENTIALS") $("password").focus();
  }

  #busy(busy) {
    $("place").disabled = busy;
    $("place").textContent = busy ? "Placing your order…" : "Place order";
  }

  #showOrder(placed, refused) {
    $("checkout").hidden = true;
    $("basket-title").textContent = "Your order";
    $("order").hidden = false;
    $("basket").scrollTop = 0;
    this.leave = new AbortController();
    const back = refused ? () => this.showBasket() : () => $("basket").close();
    const back_title = refused ? "Back to the basket" : "Continue shopping";
    followOrder(this.client, placed, $("order"), { signal: this.leave.signal, back, back_title, changed: this.sold });
  }
}
