// A list entry as a card.

import { el, icon, nameOf, picture, priceOf, shownText } from "./dom.js";

// mark: difference from the other list, as { kind, text }; null if there is no other list.
export function card(place, mark, actions) {
  const { item } = place;
  const name = nameOf(item);
  const button = (label, content, act) => el("button", { type: "button", "aria-label": `${label}: ${name}`, title: label, onclick: act }, content);
  return el(
    "li",
    { class: `card ${mark?.kind ?? ""}`, "data-item": item.item_id },
    el("div", { class: "frame" }, picture(item), el("span", { class: "rank" }, String(place.rank))),
    el(
      "div",
      { class: "body" },
      el("div", { class: "title-row" }, el("h4", {}, name), el("span", { class: "price" }, priceOf(item))),
      el("p", { class: "text" }, shownText(item)),
      el(
        "p",
        { class: "tags" },
        mark ? el("span", { class: `mark ${mark.kind}` }, mark.text) : null,
        ...item.categories.slice(0, 4).map((category) => el("span", { class: "tag" }, category)),
      ),
      el(
        "div",
        { class: "actions" },
        el("button", { type: "button", "aria-label": `Why ${name}`, onclick: () => actions.why(place) }, "Why?"),
        el("button", { type: "button", "aria-label": `Items similar to ${name}`, onclick: () => actions.like(place) }, "Similar"),
        el("span", { class: "push" }),
        button("Thumbs up: add to the history", icon("up"), () => actions.vote(place, "up")),
        button("Thumbs down: hide this item", icon("down"), () => actions.vote(place, "down")),
      ),
    ),
  );
}

// Marks for the original list (gone) and for the reranked list (new, moved, same).
export function marks(plain, diverse) {
  const before = new Map(plain.map((place) => [place.item.item_id, place.rank]));
  const after = new Map(diverse.map((place) => [place.item.item_id, place.rank]));
  const inDiverse = diverse.map((place) => moved(before.get(place.item.item_id), place.rank));
  const inPlain = plain.map((place) => (after.has(place.item.item_id) ? null : { kind: "gone", text: "dropped" }));
  return { inPlain, inDiverse };
}

function moved(before, now) {
  if (before === undefined) return { kind: "new", text: "new" };
  if (before === now) return { kind: "same", text: "same rank" };
  return before > now ? { kind: "moved", text: `▲ ${before - now}` } : { kind: "moved", text: `▼ ${now - before}` };
}
