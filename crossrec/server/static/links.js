// Lines that connect an item's positions in the two lists.

import { byId } from "./dom.js";

export function drawLinks() {
  const svg = byId("links");
  const frame = svg.getBoundingClientRect();
  const middle = (node) => {
    const box = node.getBoundingClientRect();
    return box.top + box.height / 2 - frame.top;
  };
  const right = new Map([...byId("diverse").children].map((node) => [node.dataset.item, node]));
  const paths = [];
  if (frame.width > 0) {
    [...byId("plain").children].forEach((node, place) => {
      const twin = right.get(node.dataset.item);
      if (!twin) return;
      const [from, to, half] = [middle(node), middle(twin), frame.width / 2];
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", `M4 ${from}C${half} ${from} ${half} ${to} ${frame.width - 4} ${to}`);
      path.dataset.item = node.dataset.item;
      const moved = [...byId("diverse").children].indexOf(twin) !== place;
      if (moved) path.classList.add("moved");
      paths.push(path);
    });
  }
  svg.replaceChildren(...paths);
}

// Highlights the hovered or focused item in both lists.
export function startLinks() {
  const pair = byId("pair");
  const light = (id) => {
    for (const node of pair.querySelectorAll("[data-item]")) node.classList.toggle("lit", id !== null && node.dataset.item === id);
  };
  const under = (event) => light(event.target.closest?.("[data-item]")?.dataset.item ?? null);
  pair.addEventListener("pointerover", under);
  pair.addEventListener("focusin", under);
  pair.addEventListener("pointerleave", () => light(null));
  pair.addEventListener("focusout", () => light(null));
  new ResizeObserver(drawLinks).observe(pair);
}
