// The server's API, as any consumer would use it.

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
export const search = (text) => ask(`/v1/items?limit=8&query=${encodeURIComponent(text)}`);
export const trending = () => ask("/v1/trending?count=8");

export async function send(event) {
  const answer = await ask("/v1/events", [event]);
  const [verdict] = answer.verdicts;
  if (verdict.verdict !== "accepted") throw new Failure({ title: "rejected", detail: `${verdict.field}: ${verdict.detail}` });
  return answer.received_at_ms;
}
