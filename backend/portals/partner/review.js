/** The review queue: submitted agents to publish or send back. */

import { call } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { h } from "../shared/dom.js";
import { field } from "../shared/form.js";
import { render } from "../shared/router.js";
import { avatar, button, empty, facts, growing, linkButton, notice, toast } from "../shared/ui.js";
import { ago, count, money } from "../shared/words.js";
import { names } from "./names.js";

export async function review({ signal }) {
  const load = (cursor) => call("GET /admin/review-queue", { query: { cursor }, signal });
  const [first, known] = await Promise.all([load(), names(signal)]);
  const drafts = first.skills.length + first.job_roles.length;
  const more = drafts > 0 && notice("", h("p", {}, `${count(drafts, "draft")} of skills and job roles ${drafts === 1 ? "waits" : "wait"} for `, h("a", { href: "#/certification" }, "certification"), "."));
  const head = h("div", { class: "stack" }, h("h1", {}, "Review queue"), more);
  if (!first.agents.length) {
    const body = empty("Nothing waits for review", "Agents that partners hand in appear here.", linkButton("#/listings", "Published agents"));
    return { title: "Review queue", body: [head, body] };
  }
  const list = h("ul", { class: "stack" }, first.agents.map((agent) => card(agent, known)));
  const pages = { items: first.agents, next_cursor: first.next_cursor };
  const next = async (cursor) => {
    const page = await load(cursor);
    return { items: page.agents, next_cursor: page.next_cursor };
  };
  const rest = growing(pages, next, (items) => list.append(...items.map((agent) => card(agent, known))));
  return { title: "Review queue", body: [head, h("div", { class: "stack" }, list, rest)] };
}

function card(agent, known) {
  const skills = agent.skills.map((slug, index) => h("li", { class: `tag ${index ? "" : "tone-brand"}` }, known.of("skills", slug)));
  const pairs = [["Industry", known.of("industries", agent.industry)], ["Job role", known.of("roles", agent.job_role)], ["Price", `${money(agent.monthly_price_minor, agent.currency)} a month`], ["Trial", count(agent.trial_days, "day")]];
  const title = h("div", { class: "row" }, avatar(agent.name, agent.slug), h("div", {}, h("h2", { class: "card-title" }, agent.name), h("p", { class: "small muted" }, [agent.partner ?? "WAOOAW", agent.submitted_at && `handed in ${ago(agent.submitted_at)}`].filter(Boolean).join(", "))));
  const decide = h("div", { class: "row" }, button("Publish", () => publish(agent), "primary"), button("Send back", () => reject(agent), "danger"));
  return h("li", { class: "card stack" }, title, h("p", {}, h("strong", {}, agent.tagline)), h("p", { class: "prose" }, agent.description || "No description."), facts(pairs), h("ul", { class: "row", "aria-label": "Skills" }, skills), decide);
}

async function publish(agent) {
  const note = field({ name: "note", label: "Note to the partner", type: "textarea", optional: true, longest: 500, rows: 3 });
  const send = ({ note: text }) => call("POST /admin/agents/{agent_id}/publish", { agent_id: agent.id, body: { note: text } });
  if (!(await ask({ title: `Publish ${agent.name}?`, lead: "Customers see it at once.", parts: [note], submit: "Publish", send }))) return;
  toast(`${agent.name} is in the catalogue.`);
  await render();
}

async function reject(agent) {
  const note = field({ name: "note", label: "What has to change?", type: "textarea", required: true, longest: 500, rows: 4 });
  const send = ({ note: text }) => call("POST /admin/agents/{agent_id}/reject", { agent_id: agent.id, body: { note: text } });
  if (!(await ask({ title: `Send ${agent.name} back`, lead: "It becomes a draft again, with your note.", parts: [note], submit: "Send back", send, danger: true }))) return;
  toast(`${agent.name} is back with its partner.`);
  await render();
}
