/** The catalogue: search and filters, which live in the address, and cards that lead to an agent. */

import { call } from "../shared/api.js";
import { fill, freshId, h, icon } from "../shared/dom.js";
import { here, remember } from "../shared/router.js";
import { announce, avatar, badge, bones, dot, empty, failure, growing, linkButton, rating } from "../shared/ui.js";
import { count, listed, money, minorOf } from "../shared/words.js";

const PAGE = 12;
const TYPING_MS = 300;
const CURRENCY = "INR"; // the marketplace's own; the API compares prices as numbers
const CEILINGS = [10_000, 12_000, 15_000, 20_000];
const SORTS = [["newest", "Newest first"], ["price", "Lowest price"], ["rating", "Best rated"]];
const WORK = [["", "Any"], ["available", "Available"], ["working", "Working"], ["offline", "Offline"]];
const NAMES = ["q", "industry", "role", "skill", "availability", "max", "sort"];

/** What was loaded last, so that going back finds the list as it was left. */
let kept = { key: "", pages: [], at: 0 };
const KEPT_MS = 60_000;

export async function catalogue({ query, signal }) {
  const [summary, industries, roles, skills] = await Promise.all([
    call("GET /marketplace/summary", { signal }),
    call("GET /industries", { signal }),
    call("GET /job-roles", { signal }),
    call("GET /skills", { signal }),
  ]);
  const results = h("section", { "aria-label": "Agents", class: "stack" });
  const filters = bar(query, { industries, roles, skills }, (step) => update(step));
  let loading = new AbortController();

  async function update(step) {
    if (!results.isConnected) return; // typed, and gone before it was looked for
    const chosen = filters.read();
    remember(address(chosen), step);
    await show(chosen);
  }

  async function show(chosen, again = false) {
    loading.abort();
    loading = new AbortController();
    const mine = loading.signal;
    const slow = setTimeout(() => fill(results, bones(2)), 200);
    results.setAttribute("aria-busy", "true");
    try {
      const pages = await load(chosen, again, mine);
      if (!mine.aborted) fill(results, list(chosen, pages));
    } catch (error) {
      if (!mine.aborted) fill(results, failure(error, () => show(chosen)));
    } finally {
      clearTimeout(slow);
      results.removeAttribute("aria-busy");
    }
  }

  await show(filters.read(), history.state !== null); // an entry that was here before
  const open = summary.industries.filter((each) => each.agents > 0);
  const lead = `${count(summary.agents, "agent")} for ${listed(open.map((each) => each.name.toLowerCase()))}, ${summary.available} of them taking work now.`;
  const hero = h(
    "div",
    { class: "hero stack-s" },
    h("h1", {}, "Hire an AI agent. Try it first."),
    h("p", { class: "lead" }, `${lead} Free to try, and what an agent delivers is yours to keep.`),
  );
  return { title: "Find agents", body: [hero, filters.node, results], focus: null };
}

function address(chosen) {
  const given = new URLSearchParams(NAMES.filter((name) => chosen[name]).map((name) => [name, chosen[name]]));
  return given.size ? `#/agents?${given}` : "#/agents";
}

async function load(chosen, again, signal) {
  const key = address(chosen);
  if (again && kept.key === key && Date.now() - kept.at < KEPT_MS) return kept.pages;
  const page = await fetchPage(chosen, undefined, signal);
  kept = { key, pages: [page], at: Date.now() };
  return kept.pages;
}

function fetchPage({ max, ...chosen }, cursor, signal) {
  const price = max && minorOf(max, CURRENCY);
  const query = { ...chosen, max_price: Number.isFinite(price) ? price : undefined, limit: PAGE, cursor };
  return call("GET /agents", { query, signal });
}

function list(chosen, pages) {
  const items = pages.flatMap((page) => page.items);
  if (!items.length) {
    announce("No agents found");
    const clear = linkButton("#/agents", "Clear search and filters");
    return empty("No agent fits this", "Use fewer words, another industry or a higher price, or look at all agents.", clear);
  }
  const more = pages.at(-1).next_cursor;
  const words = `${count(items.length, "agent")}${more ? ", and more below" : ""}`;
  announce(words);
  const grid = h("ul", { class: "grid" }, items.map(card));
  const further = async (cursor) => {
    const page = await fetchPage(chosen, cursor);
    kept.pages.push(page);
    return page;
  };
  const rest = growing({ items, next_cursor: more }, further, (added) => grid.append(...added.map(card)));
  const clear = address(chosen) !== "#/agents" && h("a", { class: "small", href: "#/agents" }, "Clear search and filters");
  return [h("div", { class: "row spread" }, h("p", { class: "muted small" }, words), clear), grid, rest];
}

function card(agent) {
  const price = agent.monthly_price_minor
    ? [h("strong", { class: "price" }, money(agent.monthly_price_minor, agent.currency)), h("span", { class: "muted small" }, " a month")]
    : h("strong", { class: "price" }, "Free");
  return h(
    "li",
    { class: "card agent-card" },
    h("div", { class: "row spread" }, avatar(agent.name, agent.slug), dot(agent.availability)),
    h("div", {}, h("h2", { class: "card-title" }, h("a", { class: "cover", href: `#/agents/${agent.slug}` }, agent.name)), h("p", { class: "muted small" }, `${agent.job_role.name} · ${agent.industry.name}`)),
    h("p", { class: "tagline" }, agent.tagline),
    rating(agent.rating_avg, agent.rating_count),
    h("div", { class: "row spread card-foot" }, h("p", { class: "numeric" }, price), agent.trial_days > 0 && badge(`${agent.trial_days} days free`, "amber")),
  );
}

function bar(query, { industries, roles, skills }, changed) {
  const named = (page) => page.items.map((each) => [each.slug, each.name]);
  const prices = [["", "Any price"], ...CEILINGS.map((each) => [String(each), `Up to ${money(minorOf(each, CURRENCY), CURRENCY)}`])];
  if (query.get("max") && !prices.some(([value]) => value === query.get("max"))) {
    const own = minorOf(query.get("max"), CURRENCY);
    if (Number.isFinite(own) && own >= 0) prices.push([query.get("max"), `Up to ${money(own, CURRENCY)}`]);
  }
  const selects = [
    select("industry", "Industry", [["", "All industries"], ...named(industries)], query),
    select("role", "Job role", [["", "All roles"], ...named(roles)], query),
    select("skill", "Skill", [["", "All skills"], ...named(skills)], query),
    select("availability", "Status", WORK, query),
    select("max", "Price a month", prices, query),
    select("sort", "Order", SORTS, query),
  ];
  const words = h("input", { class: "input", type: "search", id: freshId("q"), value: query.get("q") ?? "", maxlength: 200, placeholder: "SEO audit, tutor, forecast …", enterkeyhint: "search" });
  let typing = 0;
  words.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => changed(false), TYPING_MS);
  });
  const submit = (event) => {
    event.preventDefault();
    clearTimeout(typing);
    changed(true);
  };
  for (const { input } of selects) input.addEventListener("change", () => changed(true));
  const box = h("div", { class: "search" }, icon("search"), words, h("button", { class: "button primary", type: "submit" }, "Search"));
  const more = h("details", { class: "filters", open: selects.some(({ input }) => input.value && input.value !== "newest") || wide.matches }, h("summary", {}, "Filters"), h("div", { class: "filter-grid" }, selects.map((each) => each.node)));
  const label = h("label", { class: "visually-hidden", for: words.id }, "Search agents");

  return {
    node: h("form", { class: "finder card", role: "search", onsubmit: submit }, label, box, more),
    read: () => {
      const chosen = Object.fromEntries(selects.map(({ name, input }) => [name, input.value]));
      return { ...chosen, q: words.value.trim(), sort: chosen.sort === "newest" ? "" : chosen.sort };
    },
  };
}

const wide = window.matchMedia("(min-width: 60rem)");

function select(name, label, options, query) {
  const id = freshId(name);
  const input = h("select", { class: "input", id }, options.map(([value, words]) => h("option", { value }, words)));
  const wanted = query.get(name) ?? "";
  input.value = options.some(([value]) => value === wanted) ? wanted : options[0][0];
  return { name, input, node: h("div", { class: "field" }, h("label", { class: "small", for: id }, label), input) };
}
