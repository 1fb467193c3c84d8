// The page of rows, as a front page would show it: each row says why it is there, and no title stands twice.
import { byId, element } from "./elements.js";

export function showRows(page, act) {
  byId("page-note").textContent = page.rows.length
    ? `${page.rows.length} rows by what they are worth, in ${page.took_ms.toFixed(1)} ms`
    : "Not enough is known for a row yet.";
  byId("page-rows").replaceChildren(...page.rows.map((row) => rowOf(row, act)));
}

function rowOf(row, act) {
  const id = `row-${row.slate_id}`;
  const items = row.items.map((item, place) => itemOf(item, place, row, act));
  return element(
    "section",
    { class: "row", "aria-labelledby": id, "data-testid": "row", "data-row": row.row },
    element("h3", { id }, row.title),
    element("span", { class: "note" }, row.because ? row.source : row.reason),
    element("ol", { class: "shelf", tabindex: 0, "aria-labelledby": id }, ...items),
  );
}

function itemOf(item, place, row, act) {
  const ranked = row.row === "top_ten" ? `${place + 1}. ` : "";
  const deed = { item_id: item.item_id, kind: "click", slate_id: row.slate_id, position: place };
  const button = element("button", { type: "button", title: item.reason, onclick: () => act(deed) });
  button.append(element("strong", {}, `${ranked}${item.title || item.item_id}`), element("span", {}, item.categories.join(", ")));
  return element("li", { "data-item": item.item_id }, button);
}
