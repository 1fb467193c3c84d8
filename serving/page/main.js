// The page: one visitor, one slate, and what each click does to it.
import * as api from "./api.js";
import { click } from "./click.js";
import { agoOf, byId, element } from "./elements.js";
import { showFeatures } from "./features.js";
import { offerOnboarding, startOnboarding } from "./onboarding.js";
import { showRows } from "./rows.js";
import { startSearch } from "./search.js";
import { showSlate } from "./slate.js";

const TRENDING_EVERY_MS = 5_000;
const AGE_EVERY_MS = 250;
const RUNGS = {
  no_speed_features: "the stream's features are away, so this session is not known",
  no_history: "the batch history is away, so only recent visits are known",
  history_gap: "some days lie between the batch history and the stream",
  no_model: "no model is loaded, so everybody sees what is trending",
  stale_model: "the daily run is overdue, so the model knows nothing newer",
  stale_speed: "the stream has stopped or lags, so the latest visits may be missing",
};

let visitorId = rememberedVisitor();
let asOfMs = 0;
let clockSkewMs = 0;
let queue = Promise.resolve();
let newestPage = 0;

function rememberedVisitor() {
  const asked = new URLSearchParams(location.search).get("visitor");
  return asked || localStorage.getItem("visitor") || newVisitor();
}

function newVisitor() {
  return `guest-${Math.random().toString(36).slice(2, 8)}`;
}

function options() {
  const cap = byId("cap").value;
  return { personalise: byId("personalise").checked, ...(cap ? { category_cap: Number(cap) } : {}) };
}

// Clicks are handled one after the other, so that each is measured alone and an older slate never replaces a newer one.
function act(deed) {
  queue = queue.then(() => run(deed)).catch(fail);
}

async function run(deed) {
  document.body.classList.add("busy");
  try {
    const done = await click(visitorId, deed, options());
    showFailure(done.arrived ? "" : "The stream has not taken this click in within 10 s; it is safe in Kafka.");
    showHops(done);
    show(done.slate, done.features, done);
  } finally {
    document.body.classList.remove("busy");
  }
}

async function refresh() {
  const [slate, features] = await Promise.all([
    api.recommend({ visitor_id: visitorId, ...options() }),
    api.visitor(visitorId),
  ]);
  showFailure("");
  show(slate, features);
}

function show(slate, features, done) {
  const fresh = showSlate(slate, act);
  showFeatures(features);
  asOfMs = features.features_as_of_ms;
  clockSkewMs = Date.now() - features.now_ms;
  byId("model").textContent = slate.model_version || "none";
  byId("took").textContent = `${slate.took_ms.toFixed(1)} ms`;
  const rungs = [...new Set([...slate.degraded, ...features.degraded])];
  byId("degraded").hidden = !rungs.length;
  byId("degraded").textContent = rungs.length ? `Degraded: ${rungs.map((rung) => RUNGS[rung] ?? rung).join("; ")}.` : "";
  showAge();
  showPage().catch(fail);
  offerOnboarding(!features.profile.interactions).catch(fail);
  if (done) byId("announcement").textContent = `Slate updated in ${Math.round(done.totalMs)} milliseconds, ${fresh} new titles.`;
}

// The rows are asked for after the slate, and only the newest answer is shown.
async function showPage() {
  const number = ++newestPage;
  const page = await api.page({ visitor_id: visitorId, personalise: options().personalise });
  if (number === newestPage) showRows(page, act);
}

function showHops({ totalMs, hops }) {
  byId("latency").textContent = `${Math.round(totalMs)} ms`;
  byId("hops").replaceChildren(
    ...hops.map(([name, ms]) => {
      const hop = element("li", {}, element("span", {}, name), element("strong", {}, `${ms.toFixed(0)} ms`));
      hop.style.setProperty("--share", String(Math.max(ms / totalMs, 0.02)));
      return hop;
    }),
  );
}

function showAge() {
  byId("age").textContent = asOfMs ? `as of ${agoOf(Date.now() - clockSkewMs - asOfMs)}` : "none yet";
}

async function showTrending() {
  if (document.hidden) return;
  const { items } = await api.trending();
  byId("trending").replaceChildren(
    ...items.map((item) =>
      element(
        "li",
        {},
        element(
          "button",
          { class: "plain", type: "button", onclick: () => act({ item_id: item.item_id, kind: "click" }) },
          element("strong", {}, item.title || item.item_id),
          element("span", {}, item.reason),
        ),
      ),
    ),
  );
}

function fail(error) {
  console.error(error);
  showFailure(error.problem ? `${error.problem.title}: ${error.message}` : "The server does not answer.");
}

function showFailure(text) {
  byId("failure").hidden = !text;
  byId("failure").textContent = text;
}

function become(id) {
  visitorId = id;
  localStorage.setItem("visitor", id);
  byId("visitor").value = id;
  byId("latency").textContent = "–";
  byId("hops").replaceChildren();
  refresh().catch(fail);
}

byId("visitor-form").addEventListener("submit", (event) => {
  event.preventDefault();
  become(byId("visitor").value.trim());
});
byId("new-visitor").addEventListener("click", () => become(newVisitor()));
byId("options").addEventListener("change", () => refresh().catch(fail));
startSearch(() => visitorId, act, fail);
startOnboarding(() => visitorId, () => refresh().catch(fail), fail);
become(visitorId);
setInterval(showAge, AGE_EVERY_MS);
setInterval(() => showTrending().catch(() => {}), TRENDING_EVERY_MS);
showTrending().catch(() => {});
