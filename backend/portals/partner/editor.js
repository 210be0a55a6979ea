/** Making and editing an agent, handing it in for review, and what happens when two edit at once. */

import { call } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { fill, h } from "../shared/dom.js";
import { field, form } from "../shared/form.js";
import { go, render } from "../shared/router.js";
import { button, facts, linkButton, notice, state, toast } from "../shared/ui.js";
import { ago, money, minorOf } from "../shared/words.js";
import { availability } from "./agents.js";
import { names } from "./names.js";
import { skillPicker } from "./skills.js";

const CURRENCIES = ["INR", "USD", "EUR", "GBP", "SGD"];
const LABELS = { name: "Name", tagline: "Tagline", description: "Description", industry: "Industry", job_role: "Job role", skills: "Skills", monthly_price_minor: "Price", trial_days: "Trial" };
const BLANK = { name: "", tagline: "", description: "", industry: "", job_role: "", skills: [], monthly_price_minor: 0, currency: "INR", trial_days: 7 };

/** A new agent. */
export async function make({ signal }) {
  const known = await names(signal);
  const slug = field({ name: "slug", label: "Short name", required: true, longest: 80, hint: "Part of its address, for good: small letters, digits and hyphens.", check: (text) => (/^[a-z0-9]+(-[a-z0-9]+)*$/.test(text) ? "" : "Use small letters, digits and single hyphens only.") });
  const currency = field({ name: "currency", label: "Currency", type: "select", options: CURRENCIES.map((each) => [each, each]) });
  const parts = fieldsOf(BLANK, known);
  parts.splice(1, 0, slug);
  parts.splice(-1, 0, currency);
  const name = parts[0].input;
  let typed = false;
  slug.input.addEventListener("input", () => (typed = true));
  name.addEventListener("input", () => {
    if (!typed) slug.input.value = name.value.toLowerCase().normalize("NFD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80);
  });
  const send = async (values) => {
    const made = await call("POST /partner/agents", { body: bodyOf(values, values.currency) });
    toast("Saved as a draft.");
    go(`#/agents/${made.id}`);
  };
  const card = h("div", { class: "card" }, form({ parts, submit: "Save draft", send }).node);
  return { title: "New agent", body: [h("div", { class: "editor stack" }, crumb(), h("h1", {}, "New agent"), card)] };
}

/** An agent of the partner's. */
export async function edit({ params, signal }) {
  const [agent, known] = await Promise.all([call("GET /partner/agents/{agent_id}", { agent_id: params.id, signal }), names(signal)]);
  const editable = ["draft", "published"].includes(agent.listing);
  const work = editable ? workshop(agent, known) : { node: shown(agent, known), dirty: () => false, versioned: () => {} };
  const links = h("div", { class: "row" }, linkButton(`#/agents/${agent.id}/performance`, "Last 30 days"), agent.listing === "draft" && button("Submit for review", () => submit(agent, work), "primary"));
  const head = h("div", { class: "page-head" }, h("div", { class: "stack-s" }, h("div", { class: "row" }, state(agent.listing)), h("h1", {}, agent.name)), links);
  const side = h("aside", { class: "card stack", "aria-label": "State" }, h("h2", {}, "Takes work"), availability(agent, (now) => work.versioned(now)), h("p", { class: "small muted" }, "Customers can start a trial unless it is offline, which new agents are."), h("h2", {}, "Review"), reviewWords(agent));
  return { title: agent.name, body: [crumb(), head, h("div", { class: "with-aside" }, h("div", { class: "stack" }, work.node), side)] };
}

const crumb = () => h("p", { class: "crumb" }, h("a", { href: "#/agents" }, "Your agents"));

function reviewWords(agent) {
  if (agent.listing === "draft" && agent.review_note) return notice("warn", h("strong", {}, "Sent back by an operator"), h("p", {}, agent.review_note));
  if (agent.listing === "draft") return h("p", { class: "muted" }, "Not handed in yet. Before that it needs a certified job role and a main skill.");
  if (agent.listing === "in_review") return h("p", { class: "muted" }, `Handed in${agent.submitted_at ? ` ${ago(agent.submitted_at)}` : ""}. An operator looks at it; until then it cannot be edited.`);
  const note = agent.review_note && h("p", {}, `“${agent.review_note}”`);
  const words = agent.listing === "published" ? `In the catalogue since ${ago(agent.published_at)}.` : "Taken out of the catalogue for good. Open hires go on.";
  return h("div", { class: "stack-s" }, h("p", { class: "muted" }, words), note);
}

function fieldsOf(agent, known) {
  const chosen = (list) => [["", "Choose …"], ...list.map((each) => [each.slug, each.name])];
  const price = agent.monthly_price_minor ? plain(agent) : "";
  const amount = (text) => (/^\d{1,9}([.,]\d{1,3})?$/.test(text) ? "" : "Use an amount, such as 12000.");
  const days = (text) => (/^\d+$/.test(text) && Number(text) <= 30 ? "" : "Use 0 to 30 days.");
  return [
    field({ name: "name", label: "Name", value: agent.name, required: true, longest: 120 }),
    field({ name: "tagline", label: "Tagline", value: agent.tagline, optional: true, longest: 160, hint: "One line, shown on its card." }),
    field({ name: "description", label: "Description", type: "textarea", value: agent.description, optional: true, longest: 4000, rows: 6, raw: true }),
    field({ name: "industry", label: "Industry", type: "select", value: agent.industry, required: true, options: chosen(known.industries), disabled: Boolean(agent.published_at), hint: agent.published_at ? "Stays as it is once published." : "" }),
    field({ name: "job_role", label: "Job role", type: "select", value: agent.job_role, required: true, options: withOwn(chosen(known.roles), agent.job_role) }),
    skillPicker(known.skills, agent.skills),
    field({ name: "price", label: "Price a month", value: price, required: true, inputmode: "decimal", check: amount, unit: agent.currency, hint: "0 for free." }),
    field({ name: "trial_days", label: "Days free to try", value: String(agent.trial_days), required: true, inputmode: "numeric", check: days, unit: "days" }),
  ];
}

function withOwn(options, slug) {
  return !slug || options.some(([value]) => value === slug) ? options : [...options, [slug, `${slug} (not certified)`]];
}

function plain(agent) {
  const unit = minorOf("1", agent.currency);
  const amount = agent.monthly_price_minor / unit;
  return Number.isInteger(amount) ? String(amount) : amount.toFixed(String(unit).length - 1);
}

function bodyOf({ price, trial_days, ...rest }, currency) {
  return { ...rest, monthly_price_minor: minorOf(price, currency), trial_days: Number(trial_days) };
}

function differs(one, other) {
  return JSON.stringify(one) !== JSON.stringify(other);
}

function workshop(agent, known) {
  let { version } = agent; // what was opened stays the measure of what was changed here
  const trouble = h("div", { "aria-live": "polite" });
  const parts = fieldsOf(agent, known);
  const made = form({ parts, submit: "Save changes", send: save });
  const values = () => bodyOf(Object.fromEntries(made.fields.map((each) => [each.name, each.read()])), agent.currency);
  const changes = () => Object.fromEntries(Object.entries(values()).filter(([key, value]) => key !== "industry" || value).filter(([key, value]) => differs(value, agent[key])));

  async function save() {
    const body = changes();
    if (!Object.keys(body).length) {
      toast("Nothing to save: nothing was changed.");
      return;
    }
    try {
      await call("PATCH /partner/agents/{agent_id}", { agent_id: agent.id, body, version });
    } catch (error) {
      if (error.kind !== "version-mismatch") throw error;
      await clash();
      return;
    }
    toast("Saved.");
    await render();
  }

  async function clash() {
    const theirs = await call("GET /partner/agents/{agent_id}", { agent_id: agent.id });
    const lines = Object.keys(LABELS).filter((key) => differs(theirs[key], agent[key])).map((key) => h("li", {}, `${LABELS[key]}: ${told(theirs, key, known)}`));
    const keep = button("Keep mine", () => {
      ({ version } = theirs);
      fill(trouble);
      made.node.requestSubmit();
    }, "compact primary");
    const words = h("p", {}, `Somebody changed this agent ${ago(theirs.updated_at)}, after you opened it. Nothing of yours is lost: it is still in the form below.`);
    const theirWords = lines.length ? [h("p", {}, "It now says:"), h("ul", { class: "bullets" }, lines)] : h("p", {}, "None of the fields below differ; its availability or state changed.");
    const heading = h("h2", { tabindex: "-1" }, "Changed by somebody else");
    fill(trouble, notice("warn", heading, words, theirWords, h("div", { class: "row" }, keep, button("Take theirs", render, "compact"))));
    heading.focus();
  }

  const versioned = (now) => ({ version } = now);
  return { node: h("div", { class: "stack" }, trouble, h("div", { class: "card" }, made.node)), dirty: () => Object.keys(changes()).length > 0, versioned };
}

function told(agent, key, known) {
  if (key === "monthly_price_minor") return `${money(agent.monthly_price_minor, agent.currency)} a month`;
  if (key === "skills") return agent.skills.map((slug) => known.of("skills", slug)).join(", ") || "none";
  if (key === "industry") return known.of("industries", agent.industry);
  if (key === "job_role") return known.of("roles", agent.job_role);
  return key === "trial_days" ? `${agent.trial_days} days` : `“${agent[key]}”`;
}

function shown(agent, known) {
  const pairs = Object.entries(LABELS).filter(([key]) => key !== "description").map(([key, label]) => [label, told(agent, key, known)]);
  return h("div", { class: "card stack" }, facts(pairs), h("p", { class: "prose" }, agent.description));
}

async function submit(agent, work) {
  if (work.dirty()) {
    toast("Save your changes first, then submit.");
    return;
  }
  const lead = "An operator reviews it and publishes it, or sends it back with a note. You cannot edit it in the meantime.";
  const send = () => call("POST /partner/agents/{agent_id}/submit", { agent_id: agent.id });
  if (!(await ask({ title: `Submit ${agent.name} for review`, lead, submit: "Submit", send }))) return;
  toast(`${agent.name} is handed in.`);
  await render();
}
