/** Small things that are shown everywhere: people and agents, states, notices, empty and loading places, lists. */

import { fill, h, icon } from "./dom.js";
import { Problem } from "./http.js";
import { explain } from "./words.js";

const TONES = ["brand", "amber", "blue", "plum", "red", "grey"];

/** An agent's initials on a colour of its own. */
export function avatar(name, slug, size = "") {
  const letters = name.split(/\s+/).slice(0, 2).map((word) => word[0]?.toUpperCase() ?? "");
  const tone = TONES[[...slug].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % TONES.length];
  return h("span", { class: `avatar ${size} tone-${tone}`, "aria-hidden": "true" }, letters.join(""));
}

export const AVAILABILITY = { available: "Available", working: "Working", offline: "Offline" };

/** A coloured dot and its word. */
export function dot(availability) {
  return h("span", { class: `dot dot-${availability}` }, AVAILABILITY[availability]);
}

const STATES = {
  trial: ["amber", "On trial"],
  active: ["brand", "Active"],
  paused: ["grey", "Paused"],
  cancelled: ["grey", "Cancelled"],
  expired: ["grey", "Trial over"],
  draft: ["grey", "Draft"],
  in_review: ["amber", "In review"],
  published: ["brand", "Published"],
  retired: ["grey", "Retired"],
  certified: ["brand", "Certified"],
  pending: ["amber", "To review"],
  approved: ["brand", "Approved"],
  rejected: ["red", "Sent back"],
};

/** The state of a hire, a listing, a certificate or a deliverable, as a badge. */
export function state(word) {
  const [tone, label] = STATES[word];
  return badge(label, tone);
}

export function badge(label, tone = "grey") {
  return h("span", { class: `badge tone-${tone}` }, label);
}

/** Stars and how many gave them; nothing before the first. */
export function rating(average, number) {
  if (average === null) return null;
  const words = `${average.toFixed(1)} (${number})`;
  return h("span", { class: "row small", "aria-label": `Rated ${average.toFixed(1)} of 5 by ${number}` }, icon("star", 16), words);
}

export function notice(kind, ...content) {
  return h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null }, content);
}

/** What is shown where a list has nothing: what this place is for, and the next thing to do. */
export function empty(title, text, action) {
  return h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, text), action);
}

/** Grey shapes while something loads. */
export function bones(number = 3) {
  return h("div", { class: "stack", "aria-hidden": "true" }, h("div", { class: "bones line" }), Array.from({ length: number }, () => h("div", { class: "bones" })));
}

/** A failure in place of what was asked for, with a way to try again. */
export function failure(error, retry) {
  if (!(error instanceof Problem)) throw error;
  const again = retry && h("button", { class: "button compact", type: "button", onclick: retry }, "Try again");
  return notice("bad", h("p", {}, explain(error)), again);
}

/** Says something to screen readers, without showing it. */
export function announce(text) {
  fill(document.getElementById("live"), text);
}

/** Shows and says that something was done, in place of what was said before. */
export function toast(text) {
  const node = h("div", { class: "toast" }, text);
  fill(document.getElementById("toasts"), node);
  setTimeout(() => node.remove(), 6000);
}

/** A link of a button's look. */
export function linkButton(href, label, kind = "") {
  return h("a", { class: `button ${kind}`, href }, label);
}

export function button(label, onclick, kind = "") {
  return h("button", { class: `button ${kind}`, type: "button", onclick }, label);
}

/** Links of which one is where the reader is: `[href, label, here]`. */
export function tabs(label, links) {
  const made = links.map(([href, words, here]) => h("a", { href, "aria-current": here ? "page" : null }, words));
  return h("nav", { class: "tabs", "aria-label": label }, made);
}

/** Names and values. */
export function facts(pairs) {
  const made = pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  return h("dl", { class: "facts" }, made);
}

/** A table that becomes a list on narrow screens. `columns`: [label, cell(row), class]. */
export function table(caption, columns, rows) {
  const heads = columns.map(([label, , kind]) => h("th", { scope: "col", class: kind ?? null }, label));
  const body = h("tbody");
  const made = h("table", { class: "table folds" }, h("caption", { class: "visually-hidden" }, caption), h("thead", {}, h("tr", {}, heads)), body);
  const add = (more) => body.append(...more.map(row));
  const row = (item) =>
    h("tr", {}, columns.map(([label, cell, kind]) => h("td", { "data-label": label, class: kind ?? null }, h("div", {}, cell(item)))));
  add(rows);
  return { node: made, add };
}

/**
 * A list that grows: shows the first page and a button while there is more. `load(cursor)` gives a page, `show(items)`
 * appends them; `say(total, more)` is announced.
 */
export function growing(first, load, show) {
  const trouble = h("div");
  const more = button("Load more", next);
  const place = h("div", { class: "stack more" }, trouble, more);
  let cursor = first.next_cursor;
  let total = first.items.length;
  more.hidden = !cursor;

  async function next() {
    more.setAttribute("aria-busy", "true");
    fill(trouble);
    try {
      const page = await load(cursor);
      show(page.items);
      cursor = page.next_cursor;
      total += page.items.length;
      more.hidden = !cursor;
      announce(`${page.items.length} more, ${total} in all`);
    } catch (error) {
      if (place.isConnected) fill(trouble, failure(error));
    } finally {
      more.removeAttribute("aria-busy");
    }
  }

  return place;
}
