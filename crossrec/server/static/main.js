// Starts the page: loads the model description, then the state encoded in the address.

import { get } from "./api.js";
import { showControls, startControls } from "./controls.js";
import { byId, el, nameOf } from "./dom.js";
import { explain } from "./explain.js";
import { chooseUser, learnItems, showHistory, startHistory } from "./history.js";
import { refreshSoon, startLists } from "./lists.js";
import { startSearch } from "./search.js";
import { change, onChange, readAddress, state } from "./state.js";
import { startUpload } from "./upload.js";

const FIGURES = {
  "ndcg@10": "NDCG@10",
  "recall@10": "Recall@10",
  "hit@10": "Hit rate@10",
  "coverage@10": "Coverage@10",
  "gini@10": "Exposure Gini@10",
  "ild@10": "Intra-list distance@10",
  "ild_behaviour@10": "Co-click distance@10",
  "ild_category@10": "Category distance@10",
  "novelty@10": "Novelty@10 (bits)",
};

async function start() {
  const address = readAddress();
  state.model = await get("/api/model");
  showModel(state.model);
  startControls(address);
  startHistory();
  startLists();
  startUpload(added);
  for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
  await fromAddress(address);
  onChange(() => {
    showHistory();
    showControls();
    refreshSoon();
  });
  change({});
  await startSearch();
  if (address.why !== null) await explainFromAddress(address.why);
}

async function fromAddress({ user, history }) {
  if (user !== null) await chooseUser(user);
  try {
    await learnItems(history);
    state.clicks = [...state.clicks, ...history];
  } catch (error) {
    byId("user-error").textContent = error.message;
  }
}

async function explainFromAddress(id) {
  await learnItems([id]);
  await explain({ item: state.items.get(id) });
}

function showModel(model) {
  const counts = [`${model.items.toLocaleString("en")} items`, `${model.users.toLocaleString("en")} users`];
  byId("run").textContent = model.name;
  byId("about").textContent = [model.model, model.data, ...counts].join(" · ");
  document.title = `${model.name} · crossrec`;
  byId("note").textContent = model.note;
  byId("note").hidden = !model.note;
  const figures = Object.entries(model.metrics).map(([name, { value, ci95 }]) =>
    el(
      "div",
      {},
      el("dt", {}, FIGURES[name] ?? name),
      el("dd", {}, value.toPrecision(3), ci95 ? el("small", {}, `95 % CI: ${ci95.low.toPrecision(3)} to ${ci95.high.toPrecision(3)}`) : null),
    ),
  );
  byId("figures").replaceChildren(...figures);
  byId("figures-panel").hidden = !figures.length;
}

async function added(item) {
  byId("words").value = nameOf(item);
  byId("find").requestSubmit();
  state.model.items += 1;
  showModel(state.model);
  change({});
}

start().catch((error) => {
  byId("status").textContent = error.message;
  byId("status").classList.add("failed");
});
