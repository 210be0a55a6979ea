/** Background jobs, and one more chance for those that gave up. */

import { call } from "../shared/api.js";
import { ask } from "../shared/dialog.js";
import { h } from "../shared/dom.js";
import { render } from "../shared/router.js";
import { badge, button, empty, growing, linkButton, table, tabs, toast } from "../shared/ui.js";
import { ago, count } from "../shared/words.js";

const STATUSES = { queued: ["Waiting", "grey"], running: ["Running", "blue"], failed: ["To be tried again", "amber"], done: ["Done", "brand"], dead: ["Gave up", "red"] };

export async function jobs({ query, signal }) {
  const wanted = query.get("status") in STATUSES ? query.get("status") : "";
  const load = (cursor) => call("GET /admin/jobs", { query: { status: wanted, cursor }, signal });
  const first = await load();
  const links = [["", ["All"]], ...Object.entries(STATUSES)].map(([word, [label]]) => [word ? `#/jobs?status=${word}` : "#/jobs", label, word === wanted]);
  const head = h("div", { class: "stack" }, h("h1", {}, "Background jobs"), tabs("Jobs by status", links));
  if (!first.items.length) {
    const more = wanted && linkButton("#/jobs", "Show all");
    return { title: "Jobs", body: [head, empty("No jobs here", "Jobs appear as the marketplace works; done ones are kept for a week.", more)] };
  }
  const list = table("Background jobs, newest first", COLUMNS, first.items);
  return { title: "Jobs", body: [head, h("div", { class: "stack" }, h("div", { class: "card table-card" }, list.node), growing(first, load, list.add))] };
}

const COLUMNS = [
  ["Job", (job) => h("div", {}, h("span", { class: "code" }, job.name), h("p", { class: "small muted" }, `No. ${job.id}`))],
  ["Status", (job) => badge(...STATUSES[job.status])],
  ["Tries", (job) => h("span", { class: "numeric" }, count(job.attempts, "try", "tries"))],
  ["Made", (job) => h("span", { class: "small muted" }, ago(job.created_at))],
  ["Last word", (job) => h("span", { class: "small breaks" }, job.error ?? (job.finished_at ? `Done ${ago(job.finished_at)}` : "–"))],
  ["", (job) => job.status === "dead" && button("Try again", () => retry(job), "compact"), "end"],
];

async function retry(job) {
  const send = () => call("POST /admin/jobs/{job_id}/retry", { job_id: job.id });
  if (!(await ask({ title: `Try ${job.name} again?`, lead: "A worker takes it within a second.", submit: "Try again", send }))) return;
  toast(`${job.name} is queued.`);
  await render();
}
