// Sends a page's events to Firth: in batches, again when that fails in a way that may pass, and also when the page is left.
//
//   import { Events } from "/page/client/firth.js";
//   const events = new Events({ url: "https://firth.example", key: "firth_…" });
//   events.send({ visitor_id: "ada", item_id: "50", kind: "view" });
//
// A key in a page is seen by whoever opens the page: give it the scope `produce` and no other.

const BATCH_MAX = 100;
const WAITING_MAX = 1_000;
const BEACON_BYTES_MAX = 60_000; // browsers refuse more than 64 KiB that is under way when a page is left
const PASSING = new Set([408, 429, 502, 503, 504]);

export class Rejected extends Error {}

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Events {
  constructor({ url = "", key = "", everyMs = 1_000, retryMs = 500, retryMaxMs = 30_000 } = {}) {
    Object.assign(this, { url, key, everyMs, retryMs, retryMaxMs });
    this.waiting = []; // [{ event, settle, fail }]
    this.failures = 0;
    this.timer = 0;
    this.underWay = false;
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.leave());
    addEventListener("pagehide", () => this.leave());
  }

  // Have an event sent soon, or `now`. The promise tells when Kafka took it (`received_at_ms`), 0 when nobody has heard.
  send(event, { now = false } = {}) {
    const whole = { event_id: newId(), occurred_at_ms: Date.now(), ...event };
    return new Promise((settle, fail) => {
      if (this.waiting.length >= WAITING_MAX) {
        fail(new Rejected(`${WAITING_MAX} events wait already`));
        return;
      }
      this.waiting.push({ event: whole, settle, fail });
      if (now || this.waiting.length >= BATCH_MAX) this.flush();
      else this.later(this.everyMs);
    });
  }

  // Send what waits. What is not taken stays and is tried again.
  async flush() {
    if (this.underWay || !this.waiting.length) return;
    clearTimeout(this.timer);
    this.timer = 0;
    this.underWay = true;
    const batch = this.waiting.slice(0, BATCH_MAX);
    const pauseMs = await this.deliver(batch);
    this.underWay = false;
    if (this.waiting.length) pauseMs ? this.later(pauseMs) : this.flush();
  }

  // How long to pause before the next attempt; 0 when the server has taken the batch, or will never take it.
  async deliver(batch) {
    let response;
    try {
      response = await this.post(batch);
    } catch {
      return this.pause(0);
    }
    if (PASSING.has(response.status)) return this.pause(Number(response.headers.get("retry-after")) * 1_000 || 0);
    this.failures = 0;
    const answer = await response.json().catch(() => ({}));
    batch.forEach((each, index) => {
      const place = this.waiting.indexOf(each);
      if (place >= 0) this.waiting.splice(place, 1);
      const verdict = answer.verdicts?.[index] ?? { verdict: "rejected", detail: answer.detail ?? answer.title };
      if (verdict.verdict === "rejected") each.fail(new Rejected(`${verdict.field ?? ""}: ${verdict.detail ?? ""}`));
      else each.settle(answer.received_at_ms);
    });
    return 0;
  }

  post(batch) {
    const headers = { "content-type": "application/json", ...(this.key && { authorization: `Bearer ${this.key}` }) };
    const body = JSON.stringify(batch.map(({ event }) => event));
    return fetch(`${this.url}/v1/events`, { method: "POST", headers, body, keepalive: body.length < BEACON_BYTES_MAX });
  }

  // The page is left: nobody hears the answer any more. A beacon cannot carry a key, so with one it is a fetch that lives on.
  leave() {
    while (this.waiting.length) {
      const batch = this.waiting.splice(0, BATCH_MAX);
      const body = JSON.stringify(batch.map(({ event }) => event));
      batch.forEach(({ settle }) => settle(0));
      if (this.key || !navigator.sendBeacon?.(`${this.url}/v1/events`, body)) this.post(batch).catch(() => {});
    }
  }

  // A random part of a pause that doubles, after what the server asks for.
  pause(askedMs) {
    return askedMs + 1 + Math.random() * Math.min(this.retryMaxMs, this.retryMs * 2 ** this.failures++);
  }

  later(ms) {
    if (!this.timer && !this.underWay) {
      this.timer = setTimeout(() => {
        this.timer = 0;
        this.flush();
      }, ms);
    }
  }
}
