// One order on its way: every step as it happens, from the live stream of the order service.

import { formatMoney } from "./money.js";

const ORDERS = "souk.order.v1.OrderService";
const RECONNECT_MS = 1000;
const MAX_RECONNECTS = 30;
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
  PROGRESS_KIND_UNDO_STARTED: "undone",
  PROGRESS_KIND_UNDO_DONE: "undone",
  PROGRESS_KIND_WAITING: "started",
  PROGRESS_KIND_FINISHED: "done",
};

const element = (name, properties = {}) => Object.assign(document.createElement(name), properties);
const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** Draws the order that was placed into `place` and keeps it true until nothing more will happen. */
export async function followOrder(client, placed, place) {
  const { order } = placed;
  const state = element("span", { className: "state" });
  const steps = element("ol", { className: "steps" });
  const actions = element("div", { className: "actions" });
  place.replaceChildren(
    element("h3", { textContent: `Thank you. ${formatMoney(order.total)}` }),
    element("p", { className: "id", textContent: order.order_id }),
    state, steps, actions,
  );
  const showState = (name) => {
    const [words, tone] = STATES[name] ?? [name, ""];
    state.textContent = words;
    state.className = `state ${tone}`;
    state.dataset.state = name;
  };
  showState(order.state);
  showActions(client, placed, actions);

  const began = milliseconds(order.create_time);
  const rows = new Map();
  for await (const progress of progressOf(client, order.order_id)) {
    if (progress.order_state !== "ORDER_STATE_UNSPECIFIED") showState(progress.order_state);
    showProgress(progress, rows, steps, began);
    if (["ORDER_STATE_SHIPPED", "ORDER_STATE_DELIVERED", "ORDER_STATE_CANCELLED"].includes(progress.order_state)) {
      actions.replaceChildren();
    }
  }
}

/** The stream, taken up again where it broke off. */
async function* progressOf(client, order_id) {
  let resume_token = "";
  for (let broken = 0; broken < MAX_RECONNECTS; broken++) {
    try {
      for await (const answer of client.stream(`${ORDERS}/WatchOrder`, { order_id, resume_token })) {
        resume_token = answer.resume_token;
        broken = 0;
        yield answer.progress;
      }
      return;
    } catch (error) {
      if (!["UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED"].includes(error.code) && !(error instanceof TypeError)) throw error;
      await pause(RECONNECT_MS);
    }
  }
}

/** A step keeps its row while it goes from started to done; everything else gets a new one. */
function showProgress(progress, rows, steps, began) {
  const isStep = progress.kind.startsWith("PROGRESS_KIND_STEP") && progress.step;
  const isUndo = progress.kind.startsWith("PROGRESS_KIND_UNDO") && progress.step;
  const key = isStep ? progress.step : isUndo ? `undo ${progress.step}` : "";
  let row = key ? rows.get(key) : undefined;
  if (!row) {
    row = element("li");
    row.append(element("span"), element("time"));
    steps.append(row);
    if (key) rows.set(key, row);
  }
  row.className = MARKS[progress.kind] ?? "";
  row.dataset.kind = progress.kind;
  const [title, time] = row.children;
  title.textContent = progress.detail ? `${progress.title} (${progress.detail})` : progress.title;
  time.textContent = `${Math.max(0, milliseconds(progress.time) - began)} ms`;
}

function showActions(client, placed, actions) {
  const { order_id } = placed.order;
  if (placed.placement === "PLACEMENT_CHALLENGE") {
    actions.append(element("a", {
      className: "primary", href: placed.challenge_url, target: "_blank", rel: "noopener",
      textContent: "Confirm with your bank",
    }));
  }
  if (placed.placement === "PLACEMENT_REFUSED") {
    actions.append(element("p", { className: "problem", textContent: placed.refusal_message || placed.refusal_reason }));
    return;
  }
  const cancel = element("button", { type: "button", className: "quiet", textContent: "Cancel this order" });
  const request_id = crypto.randomUUID();
  cancel.addEventListener("click", async () => {
    cancel.disabled = true;
    try {
      await client.call(`${ORDERS}/CancelOrder`, { order_id, request_id, reason: "changed my mind" });
    } catch (error) {
      cancel.disabled = false;
      cancel.textContent = error.message;
    }
  });
  actions.append(cancel);
}

const milliseconds = (time) => Number(time.seconds) * 1000 + Math.floor(time.nanos / 1e6);
