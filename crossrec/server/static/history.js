// The history: a user's clicks, plus items clicked on the page.

import { get, getItem } from "./api.js";
import { byId, el, nameOf, picture } from "./dom.js";
import { change, remember, state } from "./state.js";

const SHOWN = 18;

export async function chooseUser(id) {
  byId("user-error").textContent = "";
  try {
    const found = await get("/api/user", { user_id: id });
    remember(found.history);
    const log = found.history.map((item) => item.item_id);
    byId("user").value = id;
    change({ user: id, log, clicks: log, hidden: [] });
  } catch (error) {
    byId("user-error").textContent = error.message;
  }
}

export async function learnItems(ids) {
  const missing = ids.filter((id) => !state.items.has(id));
  remember(await Promise.all(missing.map((id) => getItem(id))));
}

async function suggest() {
  const found = await get("/api/users", { q: byId("user").value, limit: 20 });
  byId("users").replaceChildren(...found.users.map((id) => el("option", { value: id })));
}

async function randomUser() {
  const place = Math.floor(Math.random() * state.model.users);
  const found = await get("/api/users", { offset: place, limit: 1 });
  if (found.users.length) await chooseUser(found.users[0]);
}

function remove(place) {
  change({ clicks: state.clicks.filter((_, other) => other !== place) });
  const buttons = byId("history").querySelectorAll("button");
  (buttons[Math.min(state.clicks.length - 1 - place, buttons.length - 1)] ?? byId("words")).focus();
}

export function startHistory() {
  const user = byId("user");
  let asked = null;
  user.addEventListener("input", () => {
    clearTimeout(asked);
    const known = [...byId("users").options].some((option) => option.value === user.value);
    // Choosing from the list also fires an input event.
    if (known && user.value !== state.user) chooseUser(user.value);
    else asked = setTimeout(suggest, 120);
  });
  user.addEventListener("focus", suggest, { once: true });
  user.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && user.value.trim()) chooseUser(user.value.trim());
  });
  byId("random-user").addEventListener("click", randomUser);
  byId("clear-history").addEventListener("click", () => {
    user.value = "";
    byId("user-error").textContent = "";
    change({ user: null, log: [], clicks: [], hidden: [] });
  });
  byId("show-hidden").addEventListener("click", () => change({ hidden: [] }));
  byId("user-row").hidden = state.model.users === 0;
}

export function showHistory() {
  const latest = state.clicks.map((id, place) => ({ item: state.items.get(id), place })).reverse();
  byId("history").replaceChildren(...latest.slice(0, SHOWN).map(thumb));
  const more = latest.length - SHOWN;
  const hint = more > 0 ? `Latest ${SHOWN} of ${latest.length} clicks, newest first. Click one to remove it.` : "Newest first. Click an item to remove it.";
  byId("history-hint").textContent = latest.length
    ? hint
    : "No clicks yet, so the list shows the most popular items. Choose a user, or click items in the catalog.";
  byId("clear-history").hidden = !latest.length && state.user === null;
  byId("hidden-row").hidden = !state.hidden.length;
  byId("hidden-count").textContent = `${state.hidden.length} hidden by thumbs down`;
}

function thumb({ item, place }) {
  const label = `Remove ${nameOf(item)}`;
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", title: label, "aria-label": label, "data-item": item.item_id, onclick: () => remove(place) },
      picture(item, 128),
    ),
  );
}
