// Page state; most of it is encoded in the address, so that a view can be shared as a link.

export const NO_RERANK = "none";
export const RUN_RERANK = "run";

export const state = {
  model: null,
  user: null, // id of the chosen user
  log: [], // that user's item ids in log order
  clicks: [], // item ids of the history, oldest first, including the user's log
  hidden: [], // item ids with a thumbs down
  items: new Map(), // item id -> item, for all items shown so far
  rerank: NO_RERANK,
  diversity: 0.3,
  space: "",
  k: 10,
  modalities: [],
};

const listeners = [];

export function onChange(listener) {
  listeners.push(listener);
}

export function change(values) {
  Object.assign(state, values);
  writeAddress();
  for (const listener of listeners) listener();
}

export function remember(items) {
  for (const item of items) state.items.set(item.item_id, item);
}

// The server has the timestamps of a user's log, so requests name the user unless a click was removed.
export function whose() {
  const whole = state.user !== null && state.log.every((id, place) => state.clicks[place] === id);
  return whole
    ? { user_id: state.user, history: state.clicks.slice(state.log.length) }
    : { user_id: null, history: state.clicks };
}

export function click(id) {
  change({ clicks: [...state.clicks, id], hidden: state.hidden.filter((other) => other !== id) });
}

function writeAddress() {
  const { user_id, history } = whose();
  const params = new URLSearchParams();
  if (user_id !== null) params.set("user", user_id);
  if (history.length) params.set("history", history.map(encodeURIComponent).join(","));
  params.set("rerank", state.rerank);
  params.set("diversity", String(state.diversity));
  if (state.space) params.set("space", state.space);
  params.set("k", String(state.k));
  if (state.model && state.modalities.length < state.model.modalities.length) params.set("see", state.modalities.join(","));
  window.history.replaceState(null, "", `#${params}`);
}

export function readAddress() {
  const params = new URLSearchParams(window.location.hash.slice(1));
  const list = (name) => (params.get(name) || "").split(",").filter(Boolean).map(decodeURIComponent);
  return {
    user: params.get("user"),
    history: list("history"),
    rerank: params.get("rerank"),
    diversity: params.has("diversity") ? Number(params.get("diversity")) : null,
    space: params.get("space"),
    k: params.has("k") ? Number(params.get("k")) : null,
    see: params.has("see") ? list("see") : null,
    why: params.get("why"),
  };
}
