// The original and the reranked list, requested together and shown side by side.

import { get, post } from "./api.js";
import { card, marks } from "./cards.js";
import { rerankRequest } from "./controls.js";
import { byId, nameOf } from "./dom.js";
import { explain } from "./explain.js";
import { drawLinks, startLinks } from "./links.js";
import { change, click, remember, state, whose } from "./state.js";

let running = null;
let waiting = null;
let shownFor = null; // query item of the "Similar" list; null for recommendations

export function startLists() {
  startLinks();
  byId("switch").addEventListener("click", (event) => {
    const view = event.target.dataset.view;
    if (!view) return;
    byId("pair").dataset.view = view;
    for (const button of byId("switch").children) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  });
}

// Debounced, so that dragging a slider sends one request.
export function refreshSoon() {
  shownFor = null;
  clearTimeout(waiting);
  byId("pair").classList.add("busy");
  waiting = setTimeout(refresh, 90);
}

async function refresh() {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const rerank = state.clicks.length ? rerankRequest() : null;
  const all = state.modalities.length === state.model.modalities.length;
  const base = { ...whose(), k: state.k, exclude: state.hidden, modalities: all ? null : state.modalities };
  const ask = (how) => post("/api/recommend", { ...base, rerank: how }, signal);
  try {
    const [plain, diverse] = await Promise.all([rerank === null ? { items: [] } : ask(null), ask(rerank)]);
    show(plain.items, diverse.items, rerank !== null);
    byId("lists-title").textContent = diverse.retrieval === "popular" ? "Popular items" : "Recommendations";
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  }
}

function fail(error) {
  byId("status").textContent = error.message;
  byId("status").classList.add("failed");
  byId("pair").classList.remove("busy");
}

function show(plain, diverse, both) {
  remember([...plain, ...diverse].map((place) => place.item));
  const { inPlain, inDiverse } = marks(plain, diverse);
  const actions = { why: explain, like: similar, vote };
  byId("plain").replaceChildren(...plain.map((place, i) => card(place, inPlain[i], actions)));
  byId("diverse").replaceChildren(...diverse.map((place, i) => card(place, both ? inDiverse[i] : null, actions)));
  byId("pair").classList.toggle("single", !both);
  byId("pair").classList.remove("busy");
  byId("switch").hidden = !both;
  byId("status").classList.remove("failed");
  byId("status").textContent = summary(diverse, both ? inDiverse : null);
  drawLinks();
}

function summary(diverse, inDiverse) {
  if (!diverse.length) return "No items left to recommend.";
  if (inDiverse === null) return `${diverse.length} items.`;
  const count = (kind) => inDiverse.filter((mark) => mark.kind === kind).length;
  return `${diverse.length} items. Compared with the original list: ${count("new")} new, ${count("moved")} moved, ${count("same")} at the same rank.`;
}

async function similar(place) {
  // Only the latest request is shown.
  clearTimeout(waiting);
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  try {
    const found = await get("/api/similar", { item_id: place.item.item_id, k: state.k }, signal);
    shownFor = place.item;
    show([], found.items, false);
    byId("lists-title").textContent = `Similar to “${nameOf(place.item)}”`;
    byId("status").textContent = `${found.items.length} items, most similar first. Change the history or an option to return to the recommendations.`;
    byId("lists").focus();
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  }
}

async function vote(place, which) {
  const id = place.item.item_id;
  const shown = [...byId("diverse").children].map((node) => node.dataset.item);
  const { user_id, history } = whose();
  const note = { item_id: id, vote: which, user_id, history, shown: shownFor === null ? shown : [], rank: place.rank };
  // The page continues even if the server can't store the vote.
  post("/api/feedback", note).catch(fail);
  if (which === "up") click(id);
  else change({ hidden: [...state.hidden, id] });
  byId("lists").focus({ preventScroll: true });
}
