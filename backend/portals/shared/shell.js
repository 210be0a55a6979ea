/** The frame of a portal: header, navigation, who is signed in; and who may see which page. */

import { signInForm, signInHere } from "./account.js";
import { fill, h } from "./dom.js";
import { go, here, markNav, render, startRouter } from "./router.js";
import { resume, session, signOut } from "./session.js";
import { button, linkButton, notice } from "./ui.js";

const HOMES = { customer: "../customer/", partner: "../partner/", operator: "../partner/" };

let portal;
let blocked = false;
let asking = null;

/**
 * Starts a portal. `kinds`: whom it is for; `nav(me)`: its links as [href, label]; `routes`: [pattern, view, {needs}],
 * `needs` being kinds of account; `welcome`: nodes beside the sign-in form; `joins`: where one can register.
 */
export async function start(options) {
  portal = options;
  session.ask = askOnce;
  session.addEventListener("change", changed);
  await resume();
  draw();
  await startRouter({ routes: portal.routes, guard, name: portal.name });
}

/** Two requests that find the session ended have one dialog between them. */
function askOnce() {
  asking ??= signInHere("Your session has ended: sign in to go on").finally(() => {
    asking = null;
  });
  return asking;
}

function changed() {
  draw();
  if (blocked && session.me) render();
}

function draw() {
  const links = portal.nav(session.me).map(([href, label]) => h("a", { href }, label));
  fill(document.getElementById("nav"), links);
  fill(document.getElementById("who"), session.me ? signedIn() : signedOut());
  markNav();
}

function signedIn() {
  const out = button("Sign out", leave, "compact");
  return [h("a", { class: "who-name small", href: "#/profile", title: session.me.email }, session.me.display_name), out];
}

function signedOut() {
  if (portal.joins) {
    return [linkButton("#/sign-in", "Sign in", "compact plain"), linkButton(portal.joins, "Register", "compact primary")];
  }
  return linkButton("#/sign-in", "Sign in", "compact");
}

async function leave() {
  blocked = false;
  await signOut().catch(() => undefined); // the token is forgotten here whatever the server says
  go("#/");
}

function guard({ needs }) {
  const { me } = session;
  blocked = Boolean(needs) && !needs.includes(me?.kind);
  if (!blocked) return null;
  return me ? stranger : signInPage;
}

/** The page that asks to sign in; the address stays, so that signing in leads on to it. */
export async function signInPage() {
  if (session.me) {
    const text = h("p", {}, `You are signed in as ${session.me.display_name}.`);
    return { title: "Sign in", body: [h("h1", {}, "Sign in"), text, h("div", {}, linkButton("#/", "Go to the first page", "primary"))] };
  }
  const done = () => (here().path === "/sign-in" ? go("#/") : undefined);
  const made = signInForm(done);
  const join = portal.joins && h("p", {}, "New here? ", h("a", { href: portal.joins }, "Register your business"), ".");
  const card = h("div", { class: "card stack" }, h("h1", {}, "Sign in"), made.node, join);
  return { title: "Sign in", body: h("div", { class: "split" }, portal.welcome(), card) };
}

async function stranger() {
  const { me } = session;
  const elsewhere = !portal.kinds.includes(me.kind);
  const text = elsewhere
    ? `You are signed in as ${me.display_name}, with ${article(me.kind)} account. This portal is for ${portal.audience}.`
    : `This page is not for ${article(me.kind)} account.`;
  const way = elsewhere ? linkButton(HOMES[me.kind], `Go to the ${me.kind === "customer" ? "customer" : "partner"} portal`, "primary") : linkButton("#/", "Go to the first page", "primary");
  const body = [h("h1", {}, elsewhere ? "This is another portal" : "Not for this account"), notice("warn", h("p", {}, text)), h("div", { class: "row" }, way, button("Sign out", leave))];
  return { title: "Not for this account", body };
}

const article = (kind) => (kind === "operator" ? "an operator" : `a ${kind}`);
