/** Operations of the API by the names of its OpenAPI document: `call("GET /agents/{slug}", { slug })`. */

import { PREFIX, Problem, send } from "./http.js";
import { credentials, refresh, session } from "./session.js";

/**
 * Carries out an operation. Parameters of the path come by name; beside them `query`, `body`, `version` (If-Match),
 * `key` (Idempotency-Key) and `signal`. A 401 renews the session, else has the person sign in, and tries once more.
 */
export async function call(operation, { query, body, version, key, signal, ...parameters } = {}) {
  const [method, template] = operation.split(" ");
  const path = template.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(parameters[name]));
  const headers = {};
  if (version !== undefined) headers["If-Match"] = `"v${version}"`;
  if (key !== undefined) headers["Idempotency-Key"] = key;
  const attempt = async () => {
    const who = await credentials();
    const answer = await send(method, PREFIX + path, { query, json: body, headers: { ...headers, ...who }, signal });
    return answer.data;
  };
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof Problem && error.status === 401)) throw error;
    await renewed(error);
    return await attempt();
  }
}

async function renewed(refused) {
  try {
    if (!session.me) throw refused; // it ended before
    await refresh();
  } catch (error) {
    if (!(error instanceof Problem && error.status === 401)) throw error;
    if (!(await session.ask())) throw refused;
  }
}

/** A key under which repeating a request does the work once. Made when a form opens, not when it is sent. */
export function freshKey() {
  return crypto.randomUUID();
}
