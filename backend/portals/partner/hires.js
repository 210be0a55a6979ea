/** Hires of the partner's agents, and handing in what an agent made. */

import { call, freshKey } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { h } from "../shared/dom.js";
import { field } from "../shared/form.js";
import { render } from "../shared/router.js";
import { button, empty, growing, linkButton, state, table, tabs, toast } from "../shared/ui.js";
import { count, day, money } from "../shared/words.js";

const TABS = [["", "All"], ["trial", "On trial"], ["active", "Active"], ["paused", "Paused"], ["cancelled", "Cancelled"], ["expired", "Trial over"]];
const KINDS = [["document", "Document"], ["report", "Report"], ["design", "Design"], ["lesson", "Lesson"], ["list", "List"], ["other", "Other"]];
const OPEN = ["trial", "active"];

export async function hires({ query, signal }) {
  const wanted = TABS.some(([word]) => word === query.get("state")) ? query.get("state") : "";
  const load = (cursor) => call("GET /partner/hires", { query: { state: wanted, cursor }, signal });
  const first = await load();
  const links = TABS.map(([word, label]) => [word ? `#/hires?state=${word}` : "#/hires", label, word === wanted]);
  const head = h("div", { class: "stack" }, h("h1", {}, "Hires"), tabs("Hires by state", links));
  if (!first.items.length) return { title: "Hires", body: [head, nothing(wanted)] };
  const list = table("Hires of your agents", COLUMNS, first.items);
  return { title: "Hires", body: [head, h("div", { class: "stack" }, h("div", { class: "card table-card" }, list.node), growing(first, load, list.add))] };
}

function nothing(wanted) {
  if (wanted) return empty("None in this state", "Your other hires are under All.", linkButton("#/hires", "Show all"));
  return empty("No hires yet", "As soon as a customer tries one of your published agents, it appears here.", linkButton("#/agents", "Your agents"));
}

const COLUMNS = [
  ["Customer", (hire) => h("strong", {}, hire.customer)],
  ["Agent", (hire) => hire.agent.name],
  ["State", (hire) => h("div", { class: "stack-s" }, h("div", {}, state(hire.state)), h("span", { class: "small muted" }, until(hire)))],
  ["Price", (hire) => h("span", { class: "numeric" }, `${money(hire.price_minor, hire.currency)} a month`)],
  ["Delivered", (hire) => (hire.deliverables ? `${hire.deliverables}, ${hire.approved} approved` : "Nothing yet")],
  ["", (hire) => OPEN.includes(hire.state) && button("Deliver", () => deliver(hire), "compact"), "end"],
];

function until(hire) {
  if (hire.ended_at) return `since ${day(hire.ended_at)}`;
  return hire.state === "trial" ? `until ${day(hire.trial_ends_at)}` : `paid until ${day(hire.period_ends_at)}`;
}

async function deliver(hire) {
  const key = freshKey();
  const parts = [
    field({ name: "title", label: "Title", required: true, longest: 200 }),
    field({ name: "kind", label: "Kind", type: "select", options: KINDS }),
    field({ name: "body", label: "Content", type: "textarea", required: true, raw: true, longest: 100_000, rows: 8, hint: "Plain text, as the customer will read it." }),
  ];
  const made = await ask({
    title: `Deliver to ${hire.customer}`,
    lead: `From ${hire.agent.name}. The customer approves it or sends it back.`,
    parts,
    submit: "Deliver",
    send: (body) => call("POST /partner/hires/{hire_id}/deliverables", { hire_id: hire.id, body, key }),
  });
  if (!made) return;
  toast(`Delivered to ${hire.customer}: ${count(made.bytes, "byte")}.`);
  await render();
}
