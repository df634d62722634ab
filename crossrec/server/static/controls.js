// Reranker, diversity, modalities, length.

import { byId, el } from "./dom.js";
import { NO_RERANK, RUN_RERANK, change, state } from "./state.js";

const NAMES = {
  none: "none (original list)",
  mmr: "MMR",
  dpp: "DPP",
  max_sum: "max-sum dispersion",
  facility_location: "facility location",
  ssd: "sliding spectrum decomposition",
  xquad: "xQuAD",
  calibrated: "calibration",
  popularity: "popularity penalty",
  fatigue: "fatigue",
};
const SPACES = { category: "categories", model: "model embeddings", text: "text", image: "image", content: "text and image", behaviour: "co-clicks" };
const MODALITIES = { id: "item ID", group: "item group", text: "text", image: "image" };

const chosen = () => state.model.rerankers.find((reranker) => reranker.type === state.rerank);

export function startControls(address) {
  const { model } = state;
  const options = model.rerankers.map((reranker) => el("option", { value: reranker.type }, NAMES[reranker.type] ?? reranker.type));
  const own = model.run_rerank === null ? [] : [el("option", { value: RUN_RERANK }, `run default: ${model.run_rerank}`)];
  byId("rerank").append(...own, ...options, el("option", { value: NO_RERANK }, NAMES.none));
  const usual = own.length ? RUN_RERANK : (model.rerankers[0]?.type ?? NO_RERANK);
  const known = [...byId("rerank").options].some((option) => option.value === address.rerank);
  state.rerank = known ? address.rerank : usual;
  state.diversity = address.diversity >= 0 && address.diversity <= 1 && address.diversity !== null ? address.diversity : (chosen()?.diversity ?? 0.3);
  state.space = chosen()?.spaces.includes(address.space) ? address.space : (chosen()?.spaces[0] ?? "");
  if ([...byId("k").options].some((option) => Number(option.value) === address.k)) state.k = address.k;
  const seen = model.modalities.filter((name) => address.see === null || address.see.includes(name));
  state.modalities = seen.length ? seen : [...model.modalities];
  listen();
  byId("modalities").append(...model.modalities.map(box));
  byId("modalities").hidden = model.modalities.length < 2;
}

function listen() {
  byId("rerank").addEventListener("change", () => {
    const type = byId("rerank").value;
    const next = state.model.rerankers.find((reranker) => reranker.type === type);
    const space = next?.spaces.includes(state.space) ? state.space : (next?.spaces[0] ?? "");
    change({ rerank: type, diversity: next?.diversity ?? state.diversity, space });
  });
  byId("diversity").addEventListener("input", () => change({ diversity: Number(byId("diversity").value) }));
  byId("space").addEventListener("change", () => change({ space: byId("space").value }));
  byId("k").addEventListener("change", () => change({ k: Number(byId("k").value) }));
}

function box(name) {
  const input = el("input", { type: "checkbox", value: name, onchange: () => toggle(name) });
  return el("label", { class: "check" }, input, MODALITIES[name] ?? name);
}

function toggle(name) {
  const left = state.model.modalities.filter((other) => (other === name) !== state.modalities.includes(other));
  // At least one modality stays selected.
  change({ modalities: left.length ? left : state.modalities });
}

export function showControls() {
  const reranker = chosen();
  byId("rerank").value = state.rerank;
  byId("rerank-summary").textContent = reranker?.summary ?? "";
  byId("strength").hidden = !reranker;
  byId("diversity").value = String(state.diversity);
  byId("diversity-value").textContent = state.diversity.toFixed(2);
  byId("space-row").hidden = !reranker || reranker.spaces.length < 2;
  byId("space").replaceChildren(...(reranker?.spaces ?? []).map((space) => el("option", { value: space }, SPACES[space] ?? space)));
  byId("space").value = state.space;
  byId("k").value = String(state.k);
  for (const input of byId("modalities").querySelectorAll("input")) input.checked = state.modalities.includes(input.value);
}

export function rerankRequest() {
  if (state.rerank === NO_RERANK) return null;
  if (state.rerank === RUN_RERANK) return RUN_RERANK;
  const request = { type: state.rerank, diversity: state.diversity };
  return state.space && chosen().spaces.length ? { ...request, space: state.space } : request;
}
