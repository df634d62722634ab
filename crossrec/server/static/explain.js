// Explanation of one item: modalities, clicks, words, image.

import { post } from "./api.js";
import { byId, el, nameOf, picture } from "./dom.js";
import { state, whose } from "./state.js";

const METHODS = {
  modality_leave_one_out: "leave-one-out",
  modality_gradients: "integrated gradients",
  click_leave_one_out: "leave-one-out",
  click_gradients: "integrated gradients",
};
const MODALITIES = { id: "item ID", text: "text", image: "image" };
const CLICKS = 12;
let turn = 0;

export async function explain(place) {
  const { item } = place;
  const mine = ++turn;
  const body = byId("why-body");
  byId("why-title").textContent = nameOf(item);
  body.replaceChildren(el("p", { class: "hint", role: "status" }, "Computing the explanation …"));
  if (!byId("why").open) byId("why").showModal();
  byId("why-title").focus();
  try {
    const found = await post("/api/explain", { ...whose(), item_id: item.item_id });
    // This takes seconds; the user may have opened another item meanwhile.
    if (mine === turn) body.replaceChildren(...parts(found));
  } catch (error) {
    if (mine === turn) body.replaceChildren(el("p", { class: "error", role: "alert" }, error.message));
  }
}

function parts({ item, history, explanation }) {
  const right = el("div", {}, ...explanation.modalities.map(modalities));
  const shown = [...modalityNote(), el("div", { class: "why-top" }, el("div", {}, ...heat(item, explanation.picture)), right)];
  const clicks = explanation.clicks[0];
  if (clicks) {
    highlight(history, clicks.values);
    shown.push(el("h3", {}, `Most influential clicks (${METHODS[clicks.method] ?? clicks.method})`), clickList(history, clicks.values), legend());
  }
  if (explanation.words) shown.push(el("h3", {}, "Words in the item text"), words(explanation.words), legend());
  const missing = Object.entries(explanation.left_out);
  if (missing.length) {
    shown.push(el("h3", {}, "Not available"), el("ul", { class: "hint" }, ...missing.map(([, why]) => el("li", {}, why))));
  }
  return shown;
}

// The list may use fewer modalities than the explanation.
function modalityNote() {
  if (state.modalities.length === state.model.modalities.length) return [];
  return [el("p", { class: "hint" }, "This explains the score computed from all modalities, not only the selected ones.")];
}

function modalities(effects) {
  const rows = effects.names.map((name, place) => {
    const [share, effect] = [effects.shares[place], effects.both[place]];
    const fill = el("span", { class: effect < 0 ? "fill against" : "fill", style: { width: `${100 * share}%` } });
    return el(
      "div",
      { class: "bar" },
      el("span", {}, MODALITIES[name] ?? name),
      el("span", { class: "track" }, fill),
      el("span", { class: "number" }, `${Math.round(100 * share)} %`),
    );
  });
  const title = `Modality contributions (${METHODS[effects.method] ?? effects.method})`;
  return el("div", {}, el("h3", {}, title), el("div", { class: "bars" }, ...rows));
}

function clickList(history, values) {
  const most = Math.max(...values.map(Math.abs), 1e-12);
  const order = values.map((value, place) => ({ value, item: history[place] })).sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  return el("ol", { class: "clicks" }, ...order.slice(0, CLICKS).map(({ value, item }) => oneClick(item, value, most)));
}

function oneClick(item, value, most) {
  const size = `${(100 * Math.abs(value)) / most}%`;
  const effect = value < 0 ? "lowered the score" : "raised the score";
  return el(
    "li",
    { class: "click", title: `${nameOf(item)}: ${effect} (${value.toPrecision(2)})` },
    el("span", { class: "frame" }, picture(item, 128)),
    el("span", { class: "track", "aria-hidden": "true" }, el("span", { class: value < 0 ? "fill against" : "fill", style: { width: size } })),
    el("span", { class: "name" }, nameOf(item), el("span", { class: "visually-hidden" }, `, ${effect}`)),
  );
}

// Clicks with at least half of the largest effect are also highlighted in the history.
function highlight(history, values) {
  const most = Math.max(...values);
  const strong = new Set(history.filter((_, place) => most > 0 && values[place] >= most / 2).map((item) => item.item_id));
  for (const node of byId("history").querySelectorAll("[data-item]")) node.classList.toggle("mattered", strong.has(node.dataset.item));
}

function words({ text, words: weighed, cut }) {
  const most = Math.max(...weighed.map((word) => Math.abs(word.weight)), 1e-12);
  const nodes = [];
  let at = 0;
  // Offsets count characters as Python does; JavaScript's strings count UTF-16 units.
  const letters = Array.from(text);
  const between = (from, to) => letters.slice(from, to).join("");
  for (const word of weighed) {
    const strength = Math.round((70 * Math.abs(word.weight)) / most);
    const color = word.weight < 0 ? "--gone" : "--accent";
    const background = `color-mix(in srgb, var(${color}) ${strength}%, transparent)`;
    nodes.push(between(at, word.start), el("mark", { style: { "background-color": background }, title: word.weight.toPrecision(2) }, between(word.start, word.end)));
    at = word.end;
  }
  nodes.push(between(at, letters.length));
  return el("p", { class: "words" }, ...nodes, cut ? el("span", { class: "hint" }, " (the model truncates the text)") : null);
}

const legend = () =>
  el(
    "p",
    { class: "legend" },
    el("span", {}, el("span", { class: "spot" }), "raises the score"),
    el("span", {}, el("span", { class: "spot against" }), "lowers the score"),
  );

function heat(item, map) {
  const frame = el("div", { class: "heat" }, picture(item, 512));
  if (!map) return [frame];
  frame.style.setProperty("aspect-ratio", `${map.width} / ${map.height}`);
  frame.append(paint(map.map));
  const box = el("input", { type: "checkbox", checked: true, onchange: () => frame.classList.toggle("heat-off", !box.checked) });
  return [frame, el("label", { class: "check" }, box, "Highlight regions that raise the score")];
}

// Color map: transparent, red, yellow.
function paint(rows) {
  const canvas = el("canvas", { width: rows[0].length, height: rows.length, "aria-hidden": "true" });
  const pixels = new ImageData(rows[0].length, rows.length);
  rows.flat().forEach((value, place) => pixels.data.set([255, 255 * Math.max(0, 2 * value - 1), 0, 255 * value], 4 * place));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}
