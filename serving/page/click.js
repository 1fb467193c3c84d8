// One click: send the event, wait until the features know it, fetch the new slate; and where the time went.
import * as api from "./api.js";

const PATIENCE_MS = 10_000;
const PAUSE_MS = 4;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// The slate's answer, the visitor's features, and the hops in milliseconds; `arrived` is false when patience ran out.
export async function click(visitorId, act, options) {
  const started = performance.now();
  const receivedAtMs = await api.send({
    visitor_id: visitorId,
    context: { utc_offset_min: -new Date().getTimezoneOffset(), device: "page" },
    ...act,
  });
  const acknowledged = performance.now();
  let features = await api.visitor(visitorId);
  while (features.features_as_of_ms < receivedAtMs && performance.now() - acknowledged < PATIENCE_MS) {
    await pause(PAUSE_MS);
    features = await api.visitor(visitorId);
  }
  const known = performance.now();
  const slate = await api.recommend({ visitor_id: visitorId, ...options });
  const finished = performance.now();
  return {
    slate,
    features,
    arrived: features.features_as_of_ms >= receivedAtMs,
    totalMs: finished - started,
    hops: [
      ["in Kafka", acknowledged - started],
      ["through the stream", known - acknowledged],
      ["new slate", finished - known],
    ],
  };
}
