// The search box: results while typing, and suggestions to choose from by mouse or keyboard.
//
// The pattern is the combobox of w3.org/WAI/ARIA/apg/patterns/combobox.

import { $, element } from "./dom.js";

const SEARCH = "souk.search.v1.SearchService";
const TYPING_PAUSE_MS = 150;
const MAX_SUGGESTIONS = 6;

export class SearchBox {
  /** `search(words)` is called with what is looked for, "" for everything. */
  constructor(client, search) {
    this.client = client;
    this.search = search;
    this.chosen = -1;
    this.turn = 0;
    this.input = $("query");
    this.list = $("suggestions");
    this.input.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.#typed(), TYPING_PAUSE_MS);
    });
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("blur", () => this.#close());
    $("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#take(this.input.value);
    });
  }

  async #typed() {
    const q = this.input.value.trim();
    this.search(q);
    if (!q) return this.#close();
    const turn = ++this.turn;
    try {
      const { suggestions } = await this.client.call(`${SEARCH}/Suggest`, { q, limit: MAX_SUGGESTIONS });
      if (turn === this.turn) this.#open(suggestions.map(({ text }) => text));
    } catch {
      if (turn === this.turn) this.#close(); // the search itself says what is wrong
    }
  }

  #open(texts) {
    const options = texts.map((text, index) => {
      const option = element("li", { id: `suggestion-${index}`, textContent: text });
      option.setAttribute("role", "option");
      // Before the box loses the focus, which closes the list.
      option.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        this.#take(text);
      });
      return option;
    });
    this.list.replaceChildren(...options);
    this.#choose(-1);
    const open = options.length > 0 && document.activeElement === this.input;
    this.list.hidden = !open;
    this.input.setAttribute("aria-expanded", String(open));
  }

  #close() {
    this.turn++;
    this.#open([]);
  }

  #choose(index) {
    this.chosen = index;
    [...this.list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
    if (index < 0) this.input.removeAttribute("aria-activedescendant");
    else this.input.setAttribute("aria-activedescendant", `suggestion-${index}`);
  }

  #key(event) {
    const count = this.list.children.length;
    if (event.key === "Escape" && count) {
      event.preventDefault();
      this.#close();
    } else if (event.key === "Enter" && this.chosen >= 0) {
      event.preventDefault();
      this.#take(this.list.children[this.chosen].textContent);
    } else if (["ArrowDown", "ArrowUp"].includes(event.key) && count) {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const from = this.chosen < 0 && step < 0 ? 0 : this.chosen;
      this.#choose((from + step + count) % count);
    }
  }

  #take(text) {
    clearTimeout(this.typing);
    this.input.value = text;
    this.#close();
    this.search(text.trim());
  }
}
