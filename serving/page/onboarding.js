// A new visitor names favourites and categories; the next answer knows them.
import * as api from "./api.js";
import { byId, element } from "./elements.js";

export function startOnboarding(visitorOf, done, fail) {
  byId("onboarding-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const named = (kind) => [...document.querySelectorAll(`#onboarding-form input[name=${kind}]:checked`)].map((box) => box.value);
    const [items, categories] = [named("item"), named("category")];
    byId("onboarding-problem").textContent = items.length || categories.length ? "" : "Choose at least one.";
    if (!items.length && !categories.length) return;
    try {
      await api.onboard({ visitor_id: visitorOf(), items, categories });
      byId("onboarding").hidden = true;
      done();
    } catch (error) {
      fail(error);
    }
  });
}

// Asks a visitor of whom nothing is known; anybody else is left alone.
export async function offerOnboarding(isNew) {
  if (!isNew || !byId("onboarding").hidden) {
    byId("onboarding").hidden = !isNew;
    return;
  }
  const { categories, items } = await api.choices();
  byId("onboarding-categories").replaceChildren(...categories.slice(0, 14).map(({ category }) => chip("category", category, category)));
  byId("onboarding-items").replaceChildren(...items.map((item) => chip("item", item.item_id, item.title)));
  byId("onboarding").hidden = !categories.length && !items.length;
}

function chip(kind, value, text) {
  return element("label", { class: "chip" }, element("input", { type: "checkbox", name: kind, value }), element("span", {}, text));
}
