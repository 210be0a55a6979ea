/** One hire: how it stands, what can be done with it, and what the agent delivered. */

import { call } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { h } from "../shared/dom.js";
import { choices, field } from "../shared/form.js";
import { render } from "../shared/router.js";
import { avatar, button, empty, facts, growing, notice, state, toast } from "../shared/ui.js";
import { ago, count, day, money, size } from "../shared/words.js";

export async function hire({ params, signal }) {
  const load = (cursor) => call("GET /hires/{hire_id}/deliverables", { hire_id: params.id, query: { cursor }, signal });
  const [found, first] = await Promise.all([call("GET /hires/{hire_id}", { hire_id: params.id, signal }), load()]);
  const { agent } = found;
  const head = h(
    "div",
    { class: "agent-head" },
    avatar(agent.name, agent.slug, "large"),
    h("div", { class: "stack-s" }, h("h1", {}, agent.name), h("div", { class: "row" }, state(found.state), h("span", {}, timing(found)))),
  );
  const back = h("p", { class: "crumb" }, h("a", { href: "#/hires" }, "My agents"));
  const about = h("section", { class: "card stack" }, h("h2", {}, "This hire"), facts(standing(found)), actions(found));
  return { title: agent.name, body: [back, head, h("div", { class: "with-aside" }, inbox(found, first, load), about)] };
}

/** "5 days left of the trial", "renews on 3 January 2027": when something happens next. */
export function timing(found) {
  const end = found.state === "trial" ? found.trial_ends_at : found.period_ends_at;
  if (found.state === "trial") return `${count(found.days_left, "day")} left, until ${day(end)}`;
  if (found.ended_at) return `Ended on ${day(found.ended_at)}`;
  if (found.cancel_at_period_end) return `Cancelled, works until ${day(end)}`;
  return found.state === "paused" ? `Rests; paid until ${day(end)}` : `Renews on ${day(end)}`;
}

function standing(found) {
  const plan = { monthly: "Monthly", quarterly: "Quarterly" }[found.plan] ?? "Free trial";
  const pairs = [["Price", `${money(found.price_minor, found.currency)} a month`], ["Plan", plan], ["Since", day(found.created_at)]];
  if (found.end_reason) pairs.push(["Reason given", found.end_reason]);
  return pairs;
}

function actions(found) {
  const known = { convert, pause, resume, cancel };
  const allowed = found.allowed_actions.filter((word) => word !== "cancel" || !found.cancel_at_period_end);
  if (!allowed.length) return h("p", { class: "muted" }, found.ended_at ? "It has ended. What was delivered stays here." : null);
  const looks = { convert: ["Keep this agent", "primary"], pause: ["Pause", ""], resume: ["Resume", "primary"], cancel: ["Cancel", "danger"] };
  return h("div", { class: "row" }, allowed.map((word) => button(looks[word][0], () => known[word](found), looks[word][1])));
}

async function done(answer, words) {
  if (!answer) return;
  toast(words);
  await render();
}

async function convert(found) {
  const options = [["monthly", "Monthly", `${money(found.price_minor, found.currency)}, every month`], ["quarterly", "Quarterly", `${money(found.price_minor * 3, found.currency)}, every three months`]];
  const send = ({ plan }) => call("POST /hires/{hire_id}/convert", { hire_id: found.id, body: { plan }, version: found.version });
  const lead = `The first period begins when the trial ends, on ${day(found.trial_ends_at)}.`;
  const parts = [choices({ name: "plan", label: "Plan", options, value: "monthly" })];
  await done(await ask({ title: `Keep ${found.agent.name}`, lead, parts, submit: "Confirm plan", send }), `${found.agent.name} stays with you.`);
}

async function pause(found) {
  const send = () => call("POST /hires/{hire_id}/pause", { hire_id: found.id, version: found.version });
  const lead = "It takes no new work from you until you resume. The period goes on.";
  await done(await ask({ title: `Pause ${found.agent.name}?`, lead, submit: "Pause", send }), `${found.agent.name} rests.`);
}

async function resume(found) {
  const send = () => call("POST /hires/{hire_id}/resume", { hire_id: found.id, version: found.version });
  await done(await ask({ title: `Resume ${found.agent.name}?`, lead: "It goes back to work for you.", submit: "Resume", send }), `${found.agent.name} works again.`);
}

async function cancel(found) {
  const trial = found.state === "trial";
  const options = [["later", "When the period ends", found.period_ends_at ? `on ${day(found.period_ends_at)}` : ""], ["now", "Now", "it stops at once"]];
  const reason = field({ name: "reason", label: "Why", type: "textarea", optional: true, longest: 500, hint: "Helps the agent's supplier to do better.", rows: 3 });
  const send = ({ reason: why, when }) => call("POST /hires/{hire_id}/cancel", { hire_id: found.id, body: { reason: why, at_period_end: when === "later" }, version: found.version });
  const parts = trial ? [reason] : [choices({ name: "when", label: "When", options, value: "later" }), reason];
  const lead = trial ? "The trial ends at once. What was delivered stays yours." : "What was delivered stays yours.";
  const answer = await ask({ title: `Cancel ${found.agent.name}?`, lead, parts, submit: trial ? "End the trial" : "Cancel it", send, danger: true });
  await done(answer, `${found.agent.name} is cancelled.`);
}

function inbox(found, first, load) {
  const head = h("h2", {}, "Deliverables");
  if (!first.items.length) {
    const words = found.ended_at ? "Nothing was delivered before it ended." : "What the agent makes appears here, for you to approve or send back.";
    return h("section", { class: "stack" }, head, empty("Nothing delivered yet", words));
  }
  const list = h("ul", { class: "stack-s" }, first.items.map(item));
  const waiting = found.pending_deliverables > 0 && notice("warn", h("p", {}, `${count(found.pending_deliverables, "deliverable")} waiting for your word.`));
  return h("section", { class: "stack" }, head, waiting, list, growing(first, load, (items) => list.append(...items.map(item))));
}

function item(found) {
  const words = `${found.kind[0].toUpperCase()}${found.kind.slice(1)} · ${size(found.bytes)} · ${ago(found.created_at)}`;
  return h(
    "li",
    { class: "card item" },
    h("div", { class: "grow" }, h("h3", { class: "card-title" }, h("a", { class: "cover", href: `#/deliverables/${found.id}` }, found.title)), h("p", { class: "muted small" }, words)),
    state(found.review_state),
  );
}
