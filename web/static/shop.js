// The page: reads the contract, puts the parts together, and says so when the shop is away.

import { Basket, showBasket } from "./basket.js";
import { Checkout } from "./checkout.js";
import { $, element } from "./dom.js";
import { Client } from "./grpc-web.js";
import { Products } from "./products.js";
import { Contract } from "./protobuf.js";
import { SearchBox } from "./search.js";
import { Session } from "./session.js";

/** How long the header says that something went into the basket. */
const ADDED_MS = 600;

async function open() {
  const session = new Session();
  const client = new Client(await Contract.load(), session);
  const basket = new Basket();
  const products = new Products(client, (product) => {
    basket.change(product, 1);
    $("open-basket").classList.add("added");
    setTimeout(() => $("open-basket").classList.remove("added"), ADDED_MS);
    $("said").textContent = `${product.name} is in the basket.`;
  });
  new SearchBox(client, (words) => products.search(words));
  new Checkout(client, session, basket, () => products.refresh());
  showBasket(basket);
  $("open-basket").addEventListener("click", () => $("basket").showModal());
  $("close-basket").addEventListener("click", () => $("basket").close());
  await products.open();
}

try {
  await open();
} catch (error) {
  const again = element("button", { type: "button", className: "quiet", textContent: "Try again" });
  again.addEventListener("click", () => location.reload());
  $("notice").replaceChildren(element("span", { textContent: `The shop cannot be reached. (${error.message})` }), again);
  $("notice").classList.add("broken");
  $("notice").hidden = false;
}
