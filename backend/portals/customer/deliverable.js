/** One deliverable: to read, and to approve or send back. */

import { call } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { h } from "../shared/dom.js";
import { field } from "../shared/form.js";
import { render } from "../shared/router.js";
import { button, notice, state, toast } from "../shared/ui.js";
import { moment, size } from "../shared/words.js";

export async function deliverable({ params, signal }) {
  const found = await call("GET /deliverables/{deliverable_id}", { deliverable_id: params.id, signal });
  const hire = await call("GET /hires/{hire_id}", { hire_id: found.hire_id, signal });
  const back = h("p", { class: "crumb" }, h("a", { href: `#/hires/${hire.id}` }, `Everything by ${hire.agent.name}`));
  const words = `Delivered by ${hire.agent.name}, ${moment(found.created_at)} · ${size(found.bytes)}`;
  const head = h("div", { class: "stack-s" }, h("div", { class: "row" }, state(found.review_state)), h("h1", {}, found.title), h("p", { class: "muted small" }, words));
  const body = h("article", { class: "card paper-text", "aria-label": "Content", tabindex: "0" }, found.body ?? "");
  return { title: found.title, body: h("div", { class: "reading stack" }, back, head, body, verdict(found)) };
}

function verdict(found) {
  if (found.review_state === "pending") {
    const choose = h("div", { class: "row" }, button("Approve", () => decide(found, "approve"), "primary"), button("Send back", () => decide(found, "reject"), "danger"));
    return h("section", { class: "card stack verdict" }, h("h2", {}, "Is it what you wanted?"), h("p", { class: "muted" }, "Your word goes to the agent's supplier."), choose);
  }
  const good = found.review_state === "approved";
  const note = found.review_note && h("p", {}, `“${found.review_note}”`);
  return notice(good ? "good" : "warn", h("p", {}, h("strong", {}, good ? "You approved this" : "You sent this back"), `, ${moment(found.reviewed_at)}.`), note);
}

async function decide(found, decision) {
  const back = decision === "reject";
  const hint = back ? "Say what is missing, so that the next one is right." : "";
  const note = field({ name: "note", label: back ? "What should change?" : "A word of praise", type: "textarea", hint, required: back, optional: !back, longest: 500, rows: 4 });
  const answer = await ask({
    title: back ? "Send it back" : "Approve it",
    parts: [note],
    submit: back ? "Send back" : "Approve",
    danger: back,
    send: ({ note: text }) => call("POST /deliverables/{deliverable_id}/decision", { deliverable_id: found.id, body: { decision, note: text } }),
  });
  if (!answer) return;
  toast(back ? "Sent back with your note." : "Approved.");
  await render();
}
