/** Registering a business as a customer. */

import { emailField } from "../shared/account.js";
import { call } from "../shared/api.js";
import { h } from "../shared/dom.js";
import { field, form } from "../shared/form.js";
import { go } from "../shared/router.js";
import { session, signIn } from "../shared/session.js";
import { linkButton, notice, toast } from "../shared/ui.js";

export async function register({ query, signal }) {
  const slug = query.get("agent");
  const next = /^[a-z0-9-]+$/.test(slug ?? "") ? `#/agents/${slug}` : "#/agents";
  if (session.me) {
    const text = notice("", h("p", {}, `You are signed in as ${session.me.display_name} already.`));
    return { title: "Register", body: [h("h1", {}, "Register"), text, h("div", {}, linkButton("#/agents", "Find agents", "primary"))] };
  }
  const industries = await call("GET /industries", { signal });
  const parts = fields(industries.items.filter((each) => each.slug !== "platform"));
  const send = async ({ industry, ...values }) => {
    await call("POST /auth/register", { body: { ...values, industry: industry || null } });
    await signIn(values.email, values.password);
    toast(`Welcome, ${values.display_name}.`);
    go(next);
  };
  const made = form({ parts, submit: "Create account", send, wide: true });
  const known = h("p", {}, "Registered already? ", h("a", { href: "#/sign-in" }, "Sign in"), ".");
  const card = h("div", { class: "card stack" }, h("h1", {}, "Register your business"), made.node, known);
  return { title: "Register", body: h("div", { class: "split" }, promise(), card) };
}

function fields(industries) {
  const options = [["", "Another, or none of these"], ...industries.map((each) => [each.slug, each.name])];
  const varied = (text) => (new Set(text).size < 5 ? "Use more different characters." : "");
  return [
    field({ name: "business_name", label: "Business", required: true, autocomplete: "organization", longest: 120 }),
    field({ name: "industry", label: "Industry", type: "select", options }),
    field({ name: "display_name", label: "Your name", required: true, autocomplete: "name", longest: 120 }),
    emailField(),
    field({ name: "password", label: "Password", type: "password", autocomplete: "new-password", required: true, raw: true, shortest: 12, longest: 200, hint: "At least 12 characters. A few unrelated words are easy to remember and hard to guess.", check: varied }),
    field({ name: "consent", label: "You may store and process these details to run my account.", type: "checkbox", required: true, missing: "We need this to open an account." }),
  ];
}

function promise() {
  const points = ["No payment details until you keep an agent.", "A trial ends by itself.", "What an agent delivered stays yours."];
  return h("div", { class: "stack" }, h("h2", {}, "An agent at work in a minute"), h("ul", { class: "points" }, points.map((text) => h("li", {}, text))));
}
