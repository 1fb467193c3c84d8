// What is known of the visitor: the running session, the merged profile, and the rows behind them.
import { agoOf, byId, element } from "./elements.js";

const KINDS = {
  view: "looked at",
  click: "looked at",
  play: "watched",
  cart: "put into the cart",
  purchase: "bought",
  rating: "rated",
  like: "liked",
  dislike: "disliked",
  hide: "hid",
};

export function showFeatures(features) {
  showTimeline(features);
  showProfile(features);
  showRows(features);
}

function showTimeline({ session, session_is_current: isCurrent, titles, unknown_items: unknown, now_ms: nowMs }) {
  const places = session && isCurrent ? session.session_items.map((_, place) => place).reverse() : [];
  byId("session-note").textContent = places.length
    ? `${session.session_length} visits, ${session.session_distinct_items} different items`
    : session
      ? "The last session is over; the slate starts from what was watched before."
      : "No visits yet. The slate is the same for everybody.";
  byId("timeline").replaceChildren(
    ...places.map((place) => {
      const item = session.session_items[place];
      const when = agoOf(nowMs - session.session_items_at_ms[place]);
      return element(
        "li",
        { "data-testid": "visit" },
        element("span", { class: "kind" }, KINDS[session.session_items_kinds[place]] ?? session.session_items_kinds[place]),
        element("strong", {}, titles[item] || item, unknown.includes(item) ? " (not in the catalogue)" : ""),
        element("time", {}, when),
      );
    }),
  );
}

function showProfile({ profile, degraded }) {
  const facts = [
    ["Interactions", profile.interactions.toLocaleString("en")],
    ["By kind", profile.kinds_keys.map((kind, place) => `${kind} ${profile.kinds_values[place]}`).join(", ") || "–"],
    ["Batch covers up to", profile.covered_to_ms ? new Date(profile.covered_to_ms).toISOString().slice(0, 16) + "Z" : "nothing yet"],
    ["Degraded", degraded.join(", ") || "no"],
  ];
  byId("profile").replaceChildren(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  const most = Math.max(...profile.categories_values, 1e-9);
  byId("taste").replaceChildren(
    ...profile.categories_keys.slice(0, 8).map((category, place) => {
      const weight = profile.categories_values[place];
      const bar = element("span", { class: "bar", "aria-hidden": true });
      bar.style.setProperty("--share", String(weight / most));
      return element("li", {}, element("span", {}, category), bar, element("span", { class: "weight" }, weight.toFixed(1)));
    }),
  );
}

function showRows(features) {
  const views = [
    ["visitor_session", "Redis, written by the stream", features.session],
    ["visitor_recent", "Redis, written by the stream", features.recent],
    ["visitor_history", "Cassandra, written by the batch layer", features.history],
    ["visitor_profile", "the merge of the two above", features.profile],
  ];
  const open = new Set([...byId("rows").querySelectorAll("details[open]")].map((each) => each.dataset.view));
  byId("rows").replaceChildren(
    ...views.map(([name, origin, cells]) => {
      const table = element(
        "table",
        {},
        element("caption", {}, cells ? origin : `${origin}: no row`),
        ...Object.entries(cells ?? {}).map(([column, value]) =>
          element("tr", {}, element("th", { scope: "row" }, column), element("td", {}, JSON.stringify(value))),
        ),
      );
      return element("details", { "data-view": name, open: open.has(name) }, element("summary", {}, name), table);
    }),
  );
}
