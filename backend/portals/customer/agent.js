/** One agent, and the way to try it. */

import { signInHere } from "../shared/account.js";
import { call, freshKey } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { h } from "../shared/dom.js";
import { go } from "../shared/router.js";
import { session } from "../shared/session.js";
import { avatar, badge, button, dot, facts, notice, rating, toast } from "../shared/ui.js";
import { count, day, money } from "../shared/words.js";

const SENIORITY = { junior: "Junior", mid: "Experienced", senior: "Senior" };
const DAY_MS = 86_400_000;

export async function agent({ params, signal }) {
  const found = await call("GET /agents/{slug}", { slug: params.slug, signal });
  const head = h(
    "div",
    { class: "agent-head" },
    avatar(found.name, found.slug, "large"),
    h("div", { class: "stack-s" }, h("h1", {}, found.name), h("p", { class: "lead" }, found.tagline), h("div", { class: "row" }, dot(found.availability), rating(found.rating_avg, found.rating_count))),
  );
  const skills = found.skills.map((skill) => h("li", { class: `tag ${skill.is_primary ? "tone-brand" : ""}` }, skill.name, skill.is_primary && h("span", { class: "visually-hidden" }, " (main skill)")));
  const about = h(
    "div",
    { class: "stack-l" },
    h("section", { class: "stack-s" }, h("h2", {}, "What it does"), h("p", { class: "prose" }, found.description || "No description yet.")),
    h("section", { class: "stack-s" }, h("h2", {}, "Certified skills"), h("ul", { class: "row" }, skills)),
    h("section", { class: "stack-s" }, h("h2", {}, "At a glance"), facts(glance(found))),
  );
  const back = h("p", { class: "crumb" }, h("a", { href: "#/agents" }, "All agents"));
  return { title: found.name, body: [back, head, h("div", { class: "with-aside" }, about, offer(found))] };
}

function glance(found) {
  const pairs = [["Job role", found.job_role.name], ["Level", SENIORITY[found.seniority] ?? found.seniority], ["Industry", found.industry.name]];
  if (found.team) pairs.push(["Team", found.team.name]);
  pairs.push(["Supplied by", found.partner ?? "WAOOAW"], ["Hired", found.hires_total ? count(found.hires_total, "time") : "Not yet"], ["Listed since", day(found.published_at)]);
  return pairs;
}

function offer(found) {
  const price = found.monthly_price_minor ? [money(found.monthly_price_minor, found.currency), h("span", { class: "muted small" }, " a month")] : "Free";
  return h(
    "aside",
    { class: "card stack offer", "aria-label": "Price and trial" },
    h("p", { class: "price-large numeric" }, price),
    found.trial_days > 0 && h("p", {}, badge(`${count(found.trial_days, "day")} free`, "amber")),
    invitation(found),
  );
}

function invitation(found) {
  if (found.trial_days === 0) return h("p", { class: "muted" }, "This agent offers no trial.");
  if (found.availability === "offline") return notice("", h("p", {}, "Offline: takes no new work at the moment. Look in again later."));
  const begin = button("Start free trial", () => startTrial(found), "primary wide");
  const terms = ["No payment details needed.", "Ends by itself unless you convert it.", "What it delivers stays yours."];
  const waits = found.availability === "working" && h("p", { class: "small muted" }, "Busy with other work now; yours comes next.");
  return [begin, waits, h("ul", { class: "points small" }, terms.map((text) => h("li", {}, text)))];
}

async function startTrial(found) {
  if (!session.me) {
    const join = (close) => h("p", { class: "muted" }, "New here? ", h("a", { href: `#/register?agent=${found.slug}`, onclick: () => close(false) }, "Register your business"), " first; it takes a minute.");
    if (!(await signInHere(`Sign in to try ${found.name}`, join))) return;
  }
  if (session.me.kind !== "customer") {
    toast("Only customers start trials; this account is another kind.");
    return;
  }
  const key = freshKey();
  const ends = day(new Date(Date.now() + found.trial_days * DAY_MS).toISOString());
  const after = found.monthly_price_minor ? ` Afterwards it costs ${money(found.monthly_price_minor, found.currency)} a month, only if you convert it.` : "";
  const hire = await ask({
    title: `Try ${found.name}`,
    lead: `The trial is free and ends on ${ends}.${after}`,
    submit: "Start trial",
    send: () => call("POST /hires", { body: { agent_slug: found.slug }, key }),
  });
  if (!hire) return;
  toast(`${found.name} is working for you.`);
  go(`#/hires/${hire.id}`);
}
