/** Certifying skills and job roles, and making new ones. */

import { call } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { h } from "../shared/dom.js";
import { field } from "../shared/form.js";
import { render } from "../shared/router.js";
import { badge, button, empty, state, toast } from "../shared/ui.js";
import { count } from "../shared/words.js";
import { names } from "./names.js";
import { skillPicker } from "./skills.js";

const CATEGORIES = [["technical", "Technical"], ["soft_skill", "Soft skill"], ["domain_expertise", "Domain expertise"]];
const LEVELS = [["junior", "Junior"], ["mid", "Experienced"], ["senior", "Senior"]];

export async function certification({ signal }) {
  const [queue, known] = await Promise.all([call("GET /admin/review-queue", { query: { limit: 1 }, signal }), names(signal)]);
  const add = h("div", { class: "row" }, button("New skill", newSkill), button("New job role", () => newRole(known)));
  const head = h("div", { class: "page-head" }, h("h1", {}, "Certification"), add);
  const drafts = [...queue.skills.map(skillRow), ...queue.job_roles.map(roleRow)];
  const waiting = drafts.length ? h("ul", { class: "stack-s" }, drafts) : empty("No drafts", "Every skill and job role is certified.");
  const done = h("section", { class: "stack" }, h("h2", {}, "Certified"), certified("Job roles", known.roles), certified("Skills", known.skills));
  return { title: "Certification", body: [head, h("section", { class: "stack" }, h("h2", {}, "Waiting"), waiting), done] };
}

function certified(title, items) {
  const tags = items.map((each) => h("li", { class: "tag" }, each.name));
  return h("details", { class: "card" }, h("summary", {}, `${title} (${items.length})`), h("ul", { class: "row padded" }, tags));
}

function row({ kind, item, more, certify }) {
  const words = h("div", { class: "grow stack-s" }, h("div", { class: "row" }, h("h3", { class: "card-title" }, item.name), badge(kind), state(item.status)), h("p", {}, item.description || "No description."), more);
  return h("li", { class: "card row spread" }, words, button("Certify", certify, "primary compact"));
}

function skillRow(skill) {
  const send = () => call("POST /admin/skills/{slug}/certify", { slug: skill.slug });
  const category = CATEGORIES.find(([value]) => value === skill.category)?.[1];
  return row({ kind: "Skill", item: skill, more: h("p", { class: "small muted" }, category), certify: () => certify(skill, send) });
}

function roleRow(role) {
  const send = () => call("POST /admin/job-roles/{slug}/certify", { slug: role.slug });
  const asks = h("p", { class: "small muted" }, role.skills.length ? `Asks for ${role.skills.map((each) => each.name).join(", ")}` : "Asks for no skill");
  return row({ kind: "Job role", item: role, more: asks, certify: () => certify(role, send) });
}

async function certify(item, send) {
  const lead = "From then on agents can be submitted with it.";
  if (!(await ask({ title: `Certify ${item.name}?`, lead, submit: "Certify", send }))) return;
  toast(`${item.name} is certified.`);
  await render();
}

function identity() {
  const check = (text) => (/^[a-z0-9]+(-[a-z0-9]+)*$/.test(text) ? "" : "Use small letters, digits and single hyphens only.");
  return [
    field({ name: "name", label: "Name", required: true, longest: 120 }),
    field({ name: "slug", label: "Short name", required: true, longest: 80, check, hint: "For good: small letters, digits and hyphens." }),
  ];
}

const description = () => field({ name: "description", label: "Description", type: "textarea", optional: true, longest: 4000, rows: 3 });

async function newSkill() {
  const parts = [...identity(), field({ name: "category", label: "Category", type: "select", options: CATEGORIES }), description()];
  const made = await ask({ title: "New skill", parts, submit: "Save draft", send: (body) => call("POST /admin/skills", { body }) });
  if (!made) return;
  toast(`${made.name} waits for certification.`);
  await render();
}

async function newRole(known) {
  const industries = [["", "Any"], ...known.industries.map((each) => [each.slug, each.name])];
  const parts = [...identity(), field({ name: "seniority", label: "Level", type: "select", options: LEVELS, value: "mid" }), field({ name: "industry", label: "Industry", type: "select", options: industries }), skillPicker(known.skills, []), description()];
  const send = ({ skills, industry, ...rest }) => call("POST /admin/job-roles", { body: { ...rest, industry: industry || null, required_skills: skills } });
  const made = await ask({ title: "New job role", parts, submit: "Save draft", send });
  if (!made) return;
  toast(`${made.name} asks for ${count(made.skills.length, "skill")} and waits for certification.`);
  await render();
}
