// DOM helpers. Data is always inserted as text; nothing here parses HTML.

export const byId = (id) => document.getElementById(id);

export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "style") for (const [key, text] of Object.entries(value)) node.style.setProperty(key, text);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const PATHS = {
  up: "M7 21V10l4.5-7c1.6 0 2.4 1.2 2.1 2.8L13 9h6.2a1.8 1.8 0 0 1 1.8 2.2l-1.6 8A2.2 2.2 0 0 1 17.2 21H7ZM7 10H3v11h4",
  down: "M17 3v11l-4.500 7c-1.600 0-2.400-1.200-2.100-2.800L11 15H4.800A1.8 1.8 0 0 1 3 12.800l1.600-8A2.200 2.200 0 0 1 6.800 3H17ZM17 14h4V3h-4",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export const nameOf = (item) => item.title || item.item_id;

export function picture(item, size = 256) {
  if (!item.image) return blank(item);
  const src = `${item.image}${item.image.includes("?") ? "&" : "?"}size=${size}`;
  const image = el("img", { class: "picture", src, alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(blank(item)), { once: true });
  return image;
}

function blank(item) {
  return el("span", { class: "no-picture", "aria-hidden": "true" }, nameOf(item).trim().slice(0, 1).toUpperCase() || "?");
}

const PRICES = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const priceOf = (item) => (item.price === null ? "" : PRICES.format(item.price));

export function shownText(item) {
  const text = item.text || "";
  const rest = item.title && text.startsWith(item.title) ? text.slice(item.title.length).replace(/^[\s.:,;-]+/, "") : text;
  return rest;
}
