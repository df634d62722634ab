// Catalog search; clicking an item adds it to the history.

import { get } from "./api.js";
import { byId, el, nameOf, picture, priceOf } from "./dom.js";
import { click, remember } from "./state.js";

const PAGE = 24;
let shown = 0;
let words = "";
let turn = 0;

export function startSearch() {
  byId("find").addEventListener("submit", (event) => {
    event.preventDefault();
    find(byId("words").value);
  });
  let asked = null;
  byId("words").addEventListener("input", () => {
    clearTimeout(asked);
    asked = setTimeout(() => find(byId("words").value), 200);
  });
  byId("find-more").addEventListener("click", () => page());
  return find("");
}

async function find(text) {
  words = text.trim();
  shown = 0;
  await page();
}

async function page() {
  const mine = ++turn;
  try {
    const found = await get("/api/items", { q: words, offset: shown, limit: PAGE });
    if (mine !== turn) return;
    remember(found.items);
    const tiles = found.items.map(tile);
    if (shown === 0) byId("found").replaceChildren(...tiles);
    else byId("found").append(...tiles);
    if (shown > 0) tiles[0]?.querySelector("button").focus();
    shown += found.items.length;
    byId("find-more").hidden = shown >= found.total;
    byId("find-status").textContent = status(found.total);
  } catch (error) {
    byId("find-status").textContent = error.message;
  }
}

function status(total) {
  const count = total.toLocaleString("en");
  if (!words) return `${count} items.`;
  return total ? `${count} ${total === 1 ? "item matches" : "items match"}.` : "No item contains all these words.";
}

function tile(item) {
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", title: nameOf(item), "aria-label": `Add ${nameOf(item)} to the history`, onclick: () => click(item.item_id) },
      el("span", { class: "frame" }, picture(item)),
      el("span", { class: "name" }, nameOf(item)),
      el("span", { class: "cost" }, priceOf(item)),
    ),
  );
}
