// One place of a list as a card.

import { el, icon, nameOf, picture, priceOf, shownText } from "./dom.js";

// mark: what became of the item beside the other list, as { kind, text }; null where there is no other list.
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
        el("button", { type: "button", "aria-label": `Items like ${name}`, onclick: () => actions.like(place) }, "Similar"),
        el("span", { class: "push" }),
        button("Thumb up: into the history", icon("up"), () => actions.vote(place, "up")),
        button("Thumb down: hide it", icon("down"), () => actions.vote(place, "down")),
      ),
    ),
  );
}

// What became of each place of the plain list (gone) and of the diverse one (new, up, down, same).
export function marks(plain, diverse) {
  const before = new Map(plain.map((place) => [place.item.item_id, place.rank]));
  const after = new Map(diverse.map((place) => [place.item.item_id, place.rank]));
  const inDiverse = diverse.map((place) => moved(before.get(place.item.item_id), place.rank));
  const inPlain = plain.map((place) => (after.has(place.item.item_id) ? null : { kind: "gone", text: "left out" }));
  return { inPlain, inDiverse };
}

function moved(before, now) {
  if (before === undefined) return { kind: "new", text: "new" };
  if (before === now) return { kind: "same", text: "same place" };
  return before > now ? { kind: "moved", text: `▲ ${before - now}` } : { kind: "moved", text: `▼ ${now - before}` };
}
