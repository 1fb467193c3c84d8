// The slate: cards that move to their new places, so that one sees what a click changed.
import { actsOn } from "./acts.js";
import { byId, element, hidden } from "./elements.js";

const SOURCES = { category: "your category" };
const WHYS = {
  excluded: "excluded by the request",
  seen: "already seen",
  deleted: "no longer in the catalogue",
  hidden: "hidden",
  out_of_stock: "out of stock",
  age: "for an older age",
  rule: "hidden by a rule",
  rested: "shown often, never taken",
  variant: "a variant of another one",
  category_cap: "too many of its genre",
  below_the_cut: "below the cut",
};
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

// Shows the slate and returns how many of its items were not there before.
export function showSlate(slate, act) {
  const list = byId("slate");
  const before = new Map([...list.children].map((card) => [card.dataset.item, card.getBoundingClientRect()]));
  const focused = document.activeElement?.closest?.(".card")?.dataset.item;
  const cards = slate.items.map((item, place) => cardOf(item, place, act, before.size > 0 && !before.has(item.item_id)));
  list.replaceChildren(...cards);
  if (!slate.items.length) list.append(element("li", { class: "empty" }, "Nothing to show yet: search a title and watch it."));
  for (const card of cards) move(card, before.get(card.dataset.item));
  if (focused) (cards.find((card) => card.dataset.item === focused)?.querySelector("button") ?? list).focus();
  showRemoved(slate.removed ?? []);
  return slate.items.filter((item) => !before.has(item.item_id)).length;
}

function cardOf(item, place, act, isNew) {
  const title = item.title || item.item_id;
  const [, name, year] = title.match(/^(.*?)(?: \((\d{4})\))?$/);
  const open = element("button", { class: "poster", type: "button", onclick: () => act({ item_id: item.item_id, kind: "click" }) });
  open.append(
    element("span", { class: "rank", "aria-hidden": true }, String(place + 1)),
    isNew ? element("span", { class: "fresh" }, "new") : "",
    element("span", { class: "name" }, name),
    element("span", { class: "year" }, [year, ...item.categories.slice(0, 2)].filter(Boolean).join(" · ")),
  );
  open.style.setProperty("--hue", String(hueOf(item.categories.join() || item.item_id)));
  const badge = element("span", { class: `source ${item.source}` }, SOURCES[item.source] ?? item.source);
  const why = element("p", { class: "why" }, badge, ` ${item.reason}`, hidden(`, score ${item.score.toFixed(2)}`));
  const card = element("li", { class: "card", "data-item": item.item_id, "data-testid": "card" }, open, why, actsOn(item, act));
  card.title = `${title}: ${item.reason} (score ${item.score.toFixed(3)})`;
  return card;
}

function move(card, from) {
  if (STILL.matches) return;
  const to = card.getBoundingClientRect();
  const frames = from
    ? [{ transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)` }, { transform: "none" }]
    : [{ opacity: 0, transform: "scale(0.92)" }, { opacity: 1, transform: "none" }];
  card.animate(frames, { duration: 320, easing: "cubic-bezier(.2,.8,.2,1)" });
}

function showRemoved(removed) {
  const counts = new Map();
  for (const each of removed) counts.set(each.why, (counts.get(each.why) ?? 0) + 1);
  const lines = [...counts].map(([why, count]) => element("li", {}, `${count} × ${WHYS[why] ?? why}`));
  byId("removed").replaceChildren(...(lines.length ? lines : [element("li", {}, "nothing")]));
}

function hueOf(text) {
  let hash = 7;
  for (const character of text) hash = (hash * 31 + character.codePointAt(0)) % 9973;
  return (hash * 47) % 360;
}
