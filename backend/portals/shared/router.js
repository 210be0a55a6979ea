/** Pages by the address's hash: `#/agents?q=seo`. Buckets rewrite no paths, and a hash can be shared and gone back to. */

import { fill, h } from "./dom.js";
import { announce, bones, failure } from "./ui.js";

const PATIENCE_MS = 150;

let routes = [];
let guard = () => null;
let name = "";
let work = new AbortController();
let painted = false;

/** Begins. `routes`: [pattern, view, options]; `guard(options)` may give a view to show instead. */
export function startRouter(options) {
  ({ routes, guard, name } = options);
  history.scrollRestoration = "manual";
  let timer = 0;
  window.addEventListener("scroll", () => {
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState({ y: window.scrollY }, ""), PATIENCE_MS);
  });
  window.addEventListener("hashchange", () => {
    clearTimeout(timer);
    render();
  });
  return render();
}

/** The path and query of the address. */
export function here() {
  const [path, query = ""] = (location.hash.slice(1) || "/").split("?");
  return { path, query: new URLSearchParams(query) };
}

/** Goes to another page. */
export function go(hash) {
  if (location.hash === hash) return render();
  location.hash = hash;
  return undefined;
}

/** Writes the state of this page into its address without leaving it; `step`: one can go back to before. */
export function remember(hash, step) {
  history[step ? "pushState" : "replaceState"]({ y: window.scrollY }, "", hash);
}

/** Shows the page of the address. */
export async function render() {
  work.abort();
  work = new AbortController();
  const { signal } = work;
  const { path, query } = here();
  const { view, params } = find(path);
  const outlet = document.getElementById("main");
  markNav();
  const slow = setTimeout(() => {
    outlet.setAttribute("aria-busy", "true");
    fill(outlet, h("div", { class: "wrap" }, bones()));
  }, PATIENCE_MS);
  let page;
  try {
    page = await view({ params, query, signal });
  } catch (error) {
    if (signal.aborted) return;
    page = { title: "Not shown", body: [h("h1", {}, "This could not be shown"), failure(error, render)] };
  } finally {
    clearTimeout(slow);
  }
  if (signal.aborted) return;
  paint(outlet, page);
}

function find(path) {
  for (const [pattern, view, options = {}] of routes) {
    const params = match(pattern, path);
    if (params) return { params, view: guard(options) ?? view };
  }
  return { params: {}, view: lost };
}

function match(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const params = {};
  for (const [index, part] of wanted.entries()) {
    if (part.startsWith(":")) params[part.slice(1)] = safely(given[index]);
    else if (part !== given[index]) return null;
  }
  return params;
}

function safely(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Tells the navigation where the reader is; the first page is that of its first link. */
export function markNav() {
  const { path } = here();
  for (const [index, link] of document.querySelectorAll(".nav a").entries()) {
    const target = link.getAttribute("href").slice(1);
    const current = path === target || path.startsWith(`${target}/`) || (path === "/" && index === 0);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function paint(outlet, { title, body, focus }) {
  fill(outlet, h("div", { class: "wrap stack-l" }, body));
  outlet.removeAttribute("aria-busy");
  document.title = `${title} · ${name}`;
  if (painted) {
    const heading = outlet.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    (focus ?? heading ?? outlet).focus({ preventScroll: true });
    announce(title);
  }
  painted = true;
  window.scrollTo(0, history.state?.y ?? 0);
}

async function lost() {
  const home = h("a", { href: "#/" }, "Go to the first page");
  return { title: "No such page", body: [h("h1", {}, "There is no such page"), h("p", {}, "The address may be mistyped, or what was here is gone. ", home, ".")] };
}
