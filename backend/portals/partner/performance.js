/** Thirty days of one agent: what it sums up to, charts, and the same as a table. */

import { call } from "../shared/api.js";
import { h } from "../shared/dom.js";
import { facts, table } from "../shared/ui.js";
import { count, day, percent } from "../shared/words.js";
import { bars } from "./chart.js";

const SERIES = [["started", "Trials started", "trial"], ["converted", "Trials converted", "conversion"], ["ended", "Hires ended", "ended hire"], ["deliverables", "Deliverables", "deliverable"]];

export async function performance({ params, signal }) {
  const [agent, found] = await Promise.all([
    call("GET /partner/agents/{agent_id}", { agent_id: params.id, signal }),
    call("GET /partner/agents/{agent_id}/metrics", { agent_id: params.id, signal }),
  ]);
  const crumb = h("p", { class: "crumb" }, h("a", { href: `#/agents/${agent.id}` }, agent.name));
  const head = h("div", { class: "stack-s" }, h("h1", {}, "Last 30 days"), h("p", { class: "muted" }, `${agent.name}, days in UTC`));
  const totals = h("section", { class: "card", "aria-label": "Totals" }, facts(sums(found)));
  const charts = h("div", { class: "charts" }, SERIES.map((series) => chart(found.days, series)));
  return { title: `${agent.name}, last 30 days`, body: [crumb, head, totals, charts, numbers(found.days)] };
}

function sums(found) {
  return [
    ["Hired in all", count(found.hires_total, "time")],
    ["Open hires", String(found.open)],
    ["Trials that stayed", percent(found.conversion_rate)],
    ["Deliverables approved", percent(found.acceptance_rate)],
    ["Rating", found.rating_avg === null ? "None yet" : found.rating_avg.toFixed(1)],
  ];
}

function chart(days, [key, title, one]) {
  const values = days.map((each) => ({ day: each.day, value: each[key] }));
  const total = values.reduce((sum, each) => sum + each.value, 0);
  const caption = h("figcaption", { class: "row spread" }, h("h2", { class: "card-title" }, title), h("strong", { class: "numeric" }, total));
  return h("figure", { class: "card stack-s" }, caption, bars(title, values, one));
}

function numbers(days) {
  const columns = [["Day", (each) => day(each.day)], ...SERIES.map(([key, title]) => [title, (each) => h("span", { class: "numeric" }, each[key])])];
  const list = table("Each day's numbers", columns, [...days].reverse());
  return h("details", { class: "card" }, h("summary", {}, "The same as a table"), list.node);
}
