/** The audit trail: who did what to what. */

import { call } from "../shared/api.js";
import { h } from "../shared/dom.js";
import { field } from "../shared/form.js";
import { go } from "../shared/router.js";
import { badge, empty, growing, linkButton, table } from "../shared/ui.js";
import { moment } from "../shared/words.js";

const ENTITIES = [["", "Anything"], ...["account", "agent", "api_key", "cache", "deliverable", "hire", "job", "job_role", "session", "skill"].map((word) => [word, label(word)])];

export async function audit({ query, signal }) {
  const chosen = { entity: query.get("entity") ?? "", action: query.get("action") ?? "", entity_id: query.get("id") ?? "" };
  const load = (cursor) => call("GET /admin/audit-events", { query: { ...chosen, limit: 30, cursor }, signal });
  const first = await load();
  const head = h("div", { class: "stack" }, h("h1", {}, "Audit trail"), finder(chosen));
  if (!first.items.length) return { title: "Audit trail", body: [head, empty("Nothing found", "No event fits. Look at all of them instead.", linkButton("#/audit", "Show all"))] };
  const list = table("Audit events, newest first", COLUMNS, first.items);
  return { title: "Audit trail", body: [head, h("div", { class: "stack" }, h("div", { class: "card table-card" }, list.node), growing(first, load, list.add))] };
}

function label(word) {
  const text = word.replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}

function finder(chosen) {
  const entity = field({ name: "entity", label: "About", type: "select", options: ENTITIES, value: ENTITIES.some(([value]) => value === chosen.entity) ? chosen.entity : "" });
  const action = field({ name: "action", label: "Action", value: chosen.action, longest: 80, placeholder: "agent.publish" });
  const one = field({ name: "id", label: "Identifier", value: chosen.entity_id, longest: 80 });
  const parts = [entity, action, one];
  const submit = (event) => {
    event.preventDefault();
    const given = parts.map((part) => [part.name, part.read()]).filter(([, value]) => value);
    go(given.length ? `#/audit?${new URLSearchParams(given)}` : "#/audit");
  };
  return h("form", { class: "card finder-row", role: "search", onsubmit: submit }, parts.map((part) => part.node), h("button", { class: "button primary", type: "submit" }, "Show"));
}

const COLUMNS = [
  ["When", (event) => h("span", { class: "small numeric" }, moment(event.at))],
  ["Who", (event) => h("div", {}, label(event.actor_kind), event.actor_id && h("p", { class: "code small muted", title: event.actor_id }, event.actor_id.slice(0, 8)))],
  ["Did", (event) => h("div", { class: "row" }, h("span", { class: "code" }, event.action), event.outcome !== "done" && badge(event.outcome, "red"))],
  ["To", (event) => h("div", {}, label(event.entity), h("p", { class: "small" }, h("a", { class: "code", href: `#/audit?${new URLSearchParams({ entity: event.entity, id: event.entity_id })}` }, short(event.entity_id))))],
  ["Details", (event) => h("span", { class: "code small breaks" }, details(event.detail))],
];

function short(text) {
  return /^[0-9a-f]{8}-/.test(text) ? text.slice(0, 8) : text;
}

function details(found) {
  const words = Object.entries(found).map(([key, value]) => `${key}: ${Array.isArray(value) ? value.join(", ") : String(value)}`);
  return words.join("; ") || "–";
}
