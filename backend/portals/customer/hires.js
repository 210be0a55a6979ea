/** My agents: the customer's hires, by state. */

import { call } from "../shared/api.js";
import { h } from "../shared/dom.js";
import { avatar, badge, empty, growing, linkButton, state, tabs } from "../shared/ui.js";
import { money } from "../shared/words.js";
import { timing } from "./hire.js";

const TABS = [["", "All"], ["trial", "On trial"], ["active", "Active"], ["paused", "Paused"], ["cancelled", "Cancelled"], ["expired", "Trial over"]];

export async function hires({ query, signal }) {
  const wanted = TABS.some(([word]) => word === query.get("state")) ? query.get("state") : "";
  const load = (cursor) => call("GET /hires", { query: { state: wanted, cursor }, signal });
  const first = await load();
  const links = TABS.map(([word, label]) => [word ? `#/hires?state=${word}` : "#/hires", label, word === wanted]);
  const head = h("div", { class: "stack" }, h("h1", {}, "My agents"), tabs("Hires by state", links));
  if (!first.items.length) return { title: "My agents", body: [head, nothing(wanted)] };
  const list = h("ul", { class: "stack" }, first.items.map(row));
  return { title: "My agents", body: [head, h("div", { class: "stack" }, list, growing(first, load, (items) => list.append(...items.map(row))))] };
}

function nothing(wanted) {
  if (wanted) return empty("None in this state", "Your other agents are under All.", linkButton("#/hires", "Show all"));
  return empty("No agents yet", "Find one that fits and try it free. Its work will appear here for you to approve.", linkButton("#/agents", "Find agents", "primary"));
}

function row(hire) {
  const { agent } = hire;
  const waiting = hire.pending_deliverables > 0 && badge(`${hire.pending_deliverables} to review`, "plum");
  return h(
    "li",
    { class: "card hire-row" },
    avatar(agent.name, agent.slug),
    h("div", { class: "stack-s grow" }, h("h2", { class: "card-title" }, h("a", { class: "cover", href: `#/hires/${hire.id}` }, agent.name)), h("p", { class: "muted small" }, timing(hire))),
    h("div", { class: "row" }, state(hire.state), waiting),
    h("p", { class: "numeric hire-price" }, h("strong", {}, money(hire.price_minor, hire.currency)), h("span", { class: "muted small" }, " a month")),
  );
}
