// One order on its way: every step as it happens, from the live stream of the order service.

import { element, explain } from "./dom.js";
import { formatMoney } from "./money.js";

const ORDERS = "souk.order.v1.OrderService";
const RECONNECT_MS = 1000;
const MAX_RECONNECTS = 30;
const MINUTE_MS = 60_000;
/** What a state is called, and whether that is good news. */
const STATES = {
  ORDER_STATE_PENDING: ["Pending", ""],
  ORDER_STATE_PROCESSING: ["Being packed", "good"],
  ORDER_STATE_SHIPPED: ["On its way", "good"],
  ORDER_STATE_DELIVERED: ["Delivered", "good"],
  ORDER_STATE_CANCELLED: ["Cancelled", "bad"],
};
const MARKS = {
  PROGRESS_KIND_STATE: "done",
  PROGRESS_KIND_STEP_STARTED: "started",
  PROGRESS_KIND_STEP_DONE: "done",
  PROGRESS_KIND_STEP_FAILED: "failed",
  PROGRESS_KIND_UNDO_STARTED: "undoing",
  PROGRESS_KIND_UNDO_DONE: "undone",
  PROGRESS_KIND_WAITING: "waiting",
};
const CANCELLABLE = ["ORDER_STATE_PENDING", "ORDER_STATE_PROCESSING"];

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
const milliseconds = (time) => Number(time.seconds) * 1000 + Math.floor(time.nanos / 1e6);

/**
 * Draws the order that was placed into `place` and keeps it true until nothing more will happen or `signal` is aborted.
 * `back` leaves it; `changed` is called when what is in stock may be another.
 */
export async function followOrder(client, placed, place, { signal, back, back_title, changed }) {
  const view = new OrderView(client, placed, place, { back, back_title });
  try {
    for await (const progress of progressOf(client, placed.order.order_id, signal)) {
      view.take(progress);
      if (["PROGRESS_KIND_UNDO_DONE", "PROGRESS_KIND_FINISHED"].includes(progress.kind)) changed();
      if (progress.step === "CommitStock" && progress.kind === "PROGRESS_KIND_STEP_DONE") changed();
    }
  } catch (error) {
    if (!signal.aborted) view.lost(error);
  }
}

/** The stream, taken up again where it broke off. */
async function* progressOf(client, order_id, signal) {
  let resume_token = "";
  for (let broken = 0; ; broken++) {
    try {
      for await (const answer of client.stream(`${ORDERS}/WatchOrder`, { order_id, resume_token }, { signal })) {
        resume_token = answer.resume_token;
        broken = 0;
        yield answer.progress;
      }
      return;
    } catch (error) {
      const passes = ["UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED"].includes(error.code);
      if (signal.aborted || !passes || broken === MAX_RECONNECTS) throw error;
      await pause(RECONNECT_MS);
    }
  }
}

class OrderView {
  constructor(client, placed, place, { back, back_title }) {
    const { order } = placed;
    this.client = client;
    this.order_id = order.order_id;
    this.began = milliseconds(order.create_time);
    this.refusal = placed.placement === "PLACEMENT_REFUSED" ? placed.refusal_message || placed.refusal_reason : "";
    this.state = order.state;
    this.challenge = placed.challenge_url;
    /** Step → its row; a step keeps its row while it goes from started to done. */
    this.rows = new Map();
    this.title = element("h3", { tabIndex: -1 });
    this.words = element("p", { className: "words" });
    this.badge = element("span", { className: "state" });
    this.steps = element("ol", { className: "steps" });
    this.steps.setAttribute("aria-live", "polite");
    this.problem = element("p", { className: "problem", hidden: true });
    this.problem.setAttribute("role", "alert");
    this.bank = element("a", { className: "primary wide", target: "_blank", rel: "noopener", textContent: "Approve at your bank ↗" });
    this.cancel = element("button", { type: "button", className: "quiet wide", textContent: "Cancel this order" });
    this.cancel.id = "cancel";
    this.cancel_request_id = crypto.randomUUID();
    this.cancel.addEventListener("click", () => this.#cancel());
    const leave = element("button", { type: "button", className: "quiet wide", textContent: back_title });
    leave.id = "leave";
    leave.addEventListener("click", back);
    const facts = element("dl", { className: "facts" },
      element("dt", { textContent: "Total" }), element("dd", { textContent: formatMoney(order.total) }),
      element("dt", { textContent: "State" }), element("dd", {}, this.badge),
      element("dt", { textContent: "Order" }), element("dd", { className: "id", textContent: order.order_id }));
    const actions = element("div", { className: "actions" }, this.problem, this.bank, leave, this.cancel);
    place.replaceChildren(this.title, this.words, facts, this.steps, actions);
    this.#draw();
    this.title.focus();
  }

  take(progress) {
    if (progress.order_state !== "ORDER_STATE_UNSPECIFIED") this.state = progress.order_state;
    if (progress.kind === "PROGRESS_KIND_WAITING" && /^https?:/.test(progress.detail)) this.challenge = progress.detail;
    else if (progress.step) this.challenge = "";
    this.#show(progress);
    this.#draw();
  }

  lost(error) {
    this.problem.textContent = explain(error);
    this.problem.hidden = false;
  }

  #draw() {
    const [words, tone] = STATES[this.state] ?? [this.state, ""];
    this.badge.textContent = words;
    this.badge.className = `state ${tone}`;
    this.badge.dataset.state = this.state;
    this.bank.hidden = !this.challenge;
    this.bank.href = this.challenge || "#";
    this.cancel.hidden = !CANCELLABLE.includes(this.state) || Boolean(this.refusal);
    [this.title.textContent, this.words.textContent] = this.#headline();
  }

  #headline() {
    if (this.refusal) return ["Not ordered", `${this.refusal} Nothing was charged and nothing is held for you.`];
    if (this.state === "ORDER_STATE_CANCELLED") return ["Cancelled", "What was done for this order is undone, step by step."];
    if (this.challenge) return ["One more step", "Your bank wants to know that it is you who pays. Your items are held meanwhile."];
    return ["Thank you!", "This is what happens with your order right now."];
  }

  #show(progress) {
    if (progress.kind === "PROGRESS_KIND_FINISHED") return; // the state tells how it ended
    const isEnd = progress.kind === "PROGRESS_KIND_STATE" && progress.order_state === "ORDER_STATE_CANCELLED";
    const key = rowOf(progress);
    let row = this.rows.get(key);
    // A payment is asked about again after its challenge: that is another row.
    if (!row || row.className === "done") {
      row = element("li", {}, element("span"), element("time"));
      this.steps.append(row);
      this.rows.set(key, row);
    }
    // Whatever it was that the order waited for has come.
    for (const other of this.steps.querySelectorAll(".waiting")) other.className = "done";
    row.className = isEnd ? "ended" : MARKS[progress.kind] ?? "";
    row.dataset.kind = progress.kind;
    row.dataset.step = progress.step;
    const [title, time] = row.children;
    const detail = /^https?:/.test(progress.detail) ? "" : progress.detail;
    title.textContent = detail ? `${progress.title} (${detail})` : progress.title;
    time.textContent = since(milliseconds(progress.time) - this.began);
  }

  async #cancel() {
    this.cancel.disabled = true;
    this.problem.hidden = true;
    try {
      const { order_id, cancel_request_id: request_id } = this;
      await this.client.call(`${ORDERS}/CancelOrder`, { order_id, request_id, reason: "changed my mind" });
    } catch (error) {
      this.lost(error);
    } finally {
      this.cancel.disabled = false;
    }
  }
}

/** Steps and undos have a row each; everything else gets a new one. */
function rowOf(progress) {
  if (progress.step && progress.kind.startsWith("PROGRESS_KIND_STEP")) return progress.step;
  if (progress.step && progress.kind.startsWith("PROGRESS_KIND_UNDO")) return `undo ${progress.step}`;
  return Symbol(progress.title);
}

function since(ms) {
  if (ms < 1000) return `${Math.max(0, ms)} ms`;
  if (ms < MINUTE_MS) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / MINUTE_MS)} min ${Math.floor((ms % MINUTE_MS) / 1000)} s`;
}
