// Search as one types; only the newest answer is shown.
import * as api from "./api.js";
import { actsOn } from "./acts.js";
import { byId, element } from "./elements.js";

const QUIET_MS = 120;

export function startSearch(visitorOf, act, fail) {
  const input = byId("search");
  let timer = 0;
  let newest = 0;

  async function look() {
    const number = ++newest;
    const text = input.value.trim();
    try {
      const items = /[\p{L}\p{N}]/u.test(text) ? (await api.search(text, visitorOf())).items : [];
      if (number === newest) show(items, text, act);
    } catch (error) {
      fail(error);
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, QUIET_MS);
  });
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    look();
  });
}

function show(items, text, act) {
  byId("search-count").textContent = text ? `${items.length} titles found` : "";
  byId("found").replaceChildren(
    ...items.map((item) =>
      element(
        "li",
        { "data-testid": "found" },
        element(
          "button",
          { class: "plain", type: "button", onclick: () => act({ item_id: item.item_id, kind: "click" }) },
          element("strong", {}, item.title || item.item_id),
          element("span", {}, (item.categories ?? []).join(", ")),
        ),
        actsOn(item, act),
      ),
    ),
  );
  if (text && !items.length) byId("found").append(element("li", { class: "empty" }, "No title has all these words."));
}
