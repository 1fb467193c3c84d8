// The controls with which a visitor acts on an item.
import { element, hidden, roving } from "./elements.js";

const STARS = [1, 2, 3, 4, 5];

export function actsOn(item, act) {
  const title = item.title || item.item_id;
  const from = (kind, extra = {}) => act({ item_id: item.item_id, kind, ...extra });
  const watch = element("button", { class: "watch", type: "button", onclick: () => from("play") });
  watch.append("▶ Watch", hidden(` ${title}`));
  const stars = STARS.map((value) =>
    element("button", {
      type: "button",
      class: "star",
      "aria-label": `Rate ${title} ${value} of 5`,
      onclick: () => from("rating", { value }),
    }),
  );
  const rate = roving(element("span", { class: "stars", role: "group", "aria-label": `Rate ${title}` }, ...stars));
  return element("div", { class: "acts" }, watch, rate);
}
