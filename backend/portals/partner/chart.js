/** Bars by day, as SVG that says in words what it shows. */

import { freshId, svg } from "../shared/dom.js";
import { count, day } from "../shared/words.js";

const WIDE = 380;
const HIGH = 140;
const FLOOR = 114;
const LEFT = 30;

/** A bar chart. `days`: [{day, value}], oldest first; `one`: what is counted, in the singular. */
export function bars(title, days, one) {
  const ids = [freshId("chart"), freshId("chart")];
  const top = ceiling(Math.max(...days.map((each) => each.value)));
  const step = (WIDE - LEFT) / days.length;
  const height = (value) => (value / top) * (FLOOR - 12);
  const drawn = days.map((each, index) => bar(each, { x: LEFT + index * step, width: step - 2, height: height(each.value), one }));
  const attributes = { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "chart", role: "img", "aria-labelledby": ids.join(" ") };
  return svg("svg", attributes, svg("title", { id: ids[0] }, title), svg("desc", { id: ids[1] }, words(days, one)), scale(top, height), drawn, dates(days));
}

function words(days, one) {
  const total = days.reduce((sum, each) => sum + each.value, 0);
  if (!total) return `None in the ${days.length} days until ${day(days.at(-1).day)}.`;
  const most = days.reduce((best, each) => (each.value > best.value ? each : best));
  return `${count(total, one)} in ${days.length} days; most on ${day(most.day)}, ${most.value}.`;
}

function bar({ day: date, value }, { x, width, height, one }) {
  const tall = value ? Math.max(height, 2) : 1;
  const attributes = { x, y: FLOOR - tall, width, height: tall, rx: Math.min(1.5, tall / 2), class: value ? "bar-full" : "bar-none" };
  return svg("rect", attributes, svg("title", {}, `${day(date)}: ${count(value, one)}`));
}

function scale(top, height) {
  return [0, top / 2, top].filter(Number.isInteger).map((value) => {
    const y = FLOOR - height(value);
    return svg("g", {}, svg("line", { x1: LEFT, x2: WIDE, y1: y, y2: y, class: "gridline" }), svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, value));
  });
}

function dates(days) {
  const short = new Intl.DateTimeFormat(navigator.language, { day: "numeric", month: "short", timeZone: "UTC" });
  const label = (index, x, anchor) => svg("text", { x, y: HIGH - 6, "text-anchor": anchor }, short.format(new Date(days[index].day)));
  return [label(0, LEFT, "start"), label(days.length - 1, WIDE, "end")];
}

/** The next round number, at least 2, so that the scale has whole steps. */
function ceiling(value) {
  const size = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return Math.max(2, [1, 2, 4, 6, 8, 10].map((each) => each * size).find((each) => each >= value));
}
