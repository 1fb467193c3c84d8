// The server's API, as any consumer would use it.
import { Events, Rejected } from "./client/firth.js";

const PATIENCE_MS = 10_000;
const events = new Events();

export class Failure extends Error {
  constructor(problem) {
    super(problem.detail || problem.title);
    this.problem = problem;
  }
}

async function ask(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(path, { ...options, headers: { "content-type": "application/json" } });
  const answer = await response.json();
  if (!response.ok) throw new Failure(answer);
  return answer;
}

export const recommend = (body) => ask("/v1/recommendations", { count: 20, explain: true, ...body });
export const visitor = (id) => ask(`/v1/visitors/${encodeURIComponent(id)}`);
export const search = (text, visitorId) =>
  ask(`/v1/search?count=8&q=${encodeURIComponent(text)}&visitor_id=${encodeURIComponent(visitorId)}`);
export const page = (body) => ask("/v1/page", { count: 12, ...body });
export const choices = () => ask("/v1/onboarding?count=18");
export const onboard = (body) => ask("/v1/onboarding", body);
export const trending = () => ask("/v1/trending?count=8");

// When Kafka has taken the event. What it does not take within 10 s is told, and sent again behind the scenes.
export async function send(event) {
  const late = new Promise((_, fail) => setTimeout(fail, PATIENCE_MS, new Failure({ title: "The event waits for Kafka" })));
  try {
    return await Promise.race([events.send(event, { now: true }), late]);
  } catch (error) {
    throw error instanceof Rejected ? new Failure({ title: "rejected", detail: error.message }) : error;
  }
}
