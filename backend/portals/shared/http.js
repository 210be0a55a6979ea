/** One request to the API, and what goes wrong with it as a Problem (RFC 9457). Knows nothing of who is signed in. */

export const PREFIX = "/api/v1";
const LONGEST_MS = 20_000;

/** Why a request was not carried out. `kind` is the API's stable word; `fields` says what is wrong where. */
export class Problem extends Error {
  constructor(status, kind, detail, { fields = [], requestId = "", retryAfterS = 0 } = {}) {
    super(detail);
    this.name = "Problem";
    Object.assign(this, { status, kind, detail, fields, requestId, retryAfterS });
  }
}

/** Sends; gives `{data, headers}`. Throws Problem, also when nobody answers; an abort by `signal` stays an abort. */
export async function send(method, address, { query, json, form, headers = {}, signal, keepalive = false } = {}) {
  const body = form ? new URLSearchParams(form) : json === undefined ? undefined : JSON.stringify(json);
  const sent = { Accept: "application/json, application/problem+json", ...headers };
  if (json !== undefined) sent["Content-Type"] = "application/json";
  const patience = AbortSignal.timeout(LONGEST_MS);
  const options = { method, body, headers: sent, credentials: "same-origin", cache: "no-cache", keepalive };
  let answer;
  try {
    answer = await fetch(address + search(query), {
      ...options,
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, patience.aborted ? "too-slow" : "unreachable", "no answer");
  }
  if (!answer.ok) throw await problemOf(answer);
  const data = answer.status === 204 ? null : await answer.json();
  return { data, headers: answer.headers };
}

/** `?a=b` of what is given; nothing for nothing. */
export function search(query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(kept).toString();
  return text && `?${text}`;
}

async function problemOf(answer) {
  const body = await answer.json().catch(() => ({}));
  const kind = String(body.type ?? "").replace("urn:plant:problem:", "") || "unexpected";
  const more = {
    fields: body.errors ?? [],
    requestId: body.request_id ?? answer.headers.get("X-Request-Id") ?? "",
    retryAfterS: Number(answer.headers.get("Retry-After")) || 0,
  };
  return new Problem(answer.status, kind, body.detail ?? "", more);
}
