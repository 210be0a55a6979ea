/** Everybody's agents by state, and taking one out of the catalogue. */

import { call } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { h } from "../shared/dom.js";
import { field } from "../shared/form.js";
import { render } from "../shared/router.js";
import { button, dot, empty, growing, linkButton, state, table, tabs, toast } from "../shared/ui.js";
import { ago, count } from "../shared/words.js";

const TABS = [["published", "Published"], ["draft", "Drafts"], ["in_review", "In review"], ["retired", "Retired"]];

export async function listings({ query, signal }) {
  const wanted = TABS.some(([word]) => word === query.get("state")) ? query.get("state") : "published";
  const load = (cursor) => call("GET /admin/agents", { query: { state: wanted, cursor }, signal });
  const first = await load();
  const links = TABS.map(([word, label]) => [`#/listings?state=${word}`, label, word === wanted]);
  const head = h("div", { class: "stack" }, h("h1", {}, "Listings"), tabs("Agents by state", links));
  if (!first.items.length) return { title: "Listings", body: [head, empty("None in this state", "What partners hand in waits in the review queue.", linkButton("#/review", "Review queue"))] };
  const list = table("Agents of all partners", COLUMNS, first.items);
  return { title: "Listings", body: [head, h("div", { class: "stack" }, h("div", { class: "card table-card" }, list.node), growing(first, load, list.add))] };
}

const COLUMNS = [
  ["Agent", (agent) => h("div", {}, h("strong", {}, agent.name), h("p", { class: "small muted" }, agent.slug))],
  ["Partner", (agent) => agent.partner ?? "WAOOAW"],
  ["State", (agent) => state(agent.listing)],
  ["Takes work", (agent) => dot(agent.availability)],
  ["Hired", (agent) => h("span", { class: "numeric" }, count(agent.hires_total, "time"))],
  ["Changed", (agent) => h("span", { class: "small muted" }, ago(agent.updated_at))],
  ["", (agent) => agent.listing === "published" && button("Retire", () => retire(agent), "compact danger"), "end"],
];

async function retire(agent) {
  const note = field({ name: "note", label: "Note to the partner", type: "textarea", optional: true, longest: 500, rows: 3 });
  const lead = "It leaves the catalogue for good. Hires of it go on.";
  const send = ({ note: text }) => call("POST /admin/agents/{agent_id}/retire", { agent_id: agent.id, body: { note: text } });
  if (!(await ask({ title: `Retire ${agent.name}?`, lead, parts: [note], submit: "Retire", send, danger: true }))) return;
  toast(`${agent.name} is retired.`);
  await render();
}
