/** The partner's agents by listing state. */

import { call } from "../shared/api.js";
import { fill, h } from "../shared/dom.js";
import { empty, growing, linkButton, notice, state, table, tabs, toast, AVAILABILITY } from "../shared/ui.js";
import { ago, count, explain, money } from "../shared/words.js";

const TABS = [["", "All"], ["draft", "Drafts"], ["in_review", "In review"], ["published", "Published"], ["retired", "Retired"]];

export async function agents({ query, signal }) {
  const wanted = TABS.some(([word]) => word === query.get("state")) ? query.get("state") : "";
  const load = (cursor) => call("GET /partner/agents", { query: { state: wanted, cursor }, signal });
  const first = await load();
  const links = TABS.map(([word, label]) => [word ? `#/agents?state=${word}` : "#/agents", label, word === wanted]);
  const top = h("div", { class: "page-head" }, h("h1", {}, "Your agents"), linkButton("#/agents/new", "New agent", "primary"));
  const head = h("div", { class: "stack" }, top, tabs("Agents by state", links));
  if (!first.items.length) return { title: "Agents", body: [head, nothing(wanted)] };
  const list = table("Your agents", COLUMNS, first.items);
  return { title: "Agents", body: [head, h("div", { class: "stack" }, h("div", { class: "card table-card" }, list.node), growing(first, load, list.add))] };
}

function nothing(wanted) {
  if (wanted) return empty("None in this state", "Your other agents are under All.", linkButton("#/agents", "Show all"));
  return empty("No agents yet", "Describe your first agent, save it as a draft, and hand it in for review when it is ready.", linkButton("#/agents/new", "New agent", "primary"));
}

const COLUMNS = [
  ["Agent", name],
  ["State", (agent) => state(agent.listing)],
  ["Takes work", (agent) => availability(agent)],
  ["Price", (agent) => h("span", { class: "numeric" }, `${money(agent.monthly_price_minor, agent.currency)} a month`)],
  ["Hired", (agent) => h("span", { class: "numeric" }, count(agent.hires_total, "time"))],
  ["Changed", (agent) => h("span", { class: "small muted" }, ago(agent.updated_at))],
];

function name(agent) {
  const note = agent.listing === "draft" && agent.review_note && h("p", { class: "small wrong" }, `Sent back: ${agent.review_note}`);
  return h("div", { class: "stack-s" }, h("div", {}, h("a", { href: `#/agents/${agent.id}` }, h("strong", {}, agent.name)), h("p", { class: "small muted" }, agent.tagline)), note);
}

/** A switch between taking work, being busy and being away; it acts at once. `changed(agent)` hears of it. */
export function availability(agent, changed = () => {}) {
  const options = Object.entries(AVAILABILITY).map(([value, label]) => h("option", { value }, label));
  const trouble = h("div", { role: "alert" });
  const input = h("select", { class: "input compact", "aria-label": `Whether ${agent.name} takes work`, disabled: agent.listing === "retired" }, options);
  let last = agent.availability;
  input.value = last;
  input.addEventListener("change", async () => {
    fill(trouble);
    input.disabled = true;
    try {
      const now = await call("PUT /partner/agents/{agent_id}/availability", { agent_id: agent.id, body: { availability: input.value } });
      last = now.availability;
      toast(`${agent.name} is ${AVAILABILITY[last].toLowerCase()} now.`);
      changed(now);
    } catch (error) {
      input.value = last;
      fill(trouble, notice("bad", explain(error)));
    } finally {
      input.disabled = false;
    }
  });
  return h("div", { class: "stack-s" }, input, trouble);
}
