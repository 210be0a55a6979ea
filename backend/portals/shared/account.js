/** Signing in, as a page or as a dialog over whatever one was doing, and the profile. */

import { call } from "./api.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { field, form } from "./form.js";
import { learn, session, signIn } from "./session.js";
import { toast } from "./ui.js";

const EMAIL = /^[^\s@]+@[^\s@.]+(\.[^\s@.]+)+$/;

/** A field for an e-mail address. */
export function emailField(value) {
  const check = (text) => (EMAIL.test(text) ? "" : "This is not an e-mail address, such as ann@example.com.");
  return field({ name: "email", label: "E-mail address", type: "email", autocomplete: "username", required: true, value, check, longest: 254 });
}

/** The form that signs in; `done` is called once somebody is. */
export function signInForm(done, cancel) {
  const password = field({ name: "password", label: "Password", type: "password", autocomplete: "current-password", required: true, raw: true, longest: 200 });
  const send = async (values) => {
    try {
      await signIn(values.email, values.password);
    } catch (error) {
      if (error.status === 401) error.words = "The e-mail address or the password is not right.";
      throw error;
    }
    done();
  };
  return form({ parts: [emailField(), password], submit: "Sign in", send, cancel, wide: !cancel });
}

/** Has somebody sign in where they are. Resolves with whether they did. */
export async function signInHere(title = "Sign in to go on", more = null) {
  const done = await open(title, (close) => [more?.(close), signInForm(() => close(true), () => close(false)).node]);
  return done === true;
}

/** The profile: names that others see. */
export async function profile({ signal }) {
  const me = await call("GET /me", { signal });
  let version = me.version;
  const parts = [field({ name: "display_name", label: "Your name", value: me.display_name, required: true, longest: 120, autocomplete: "name" })];
  if (me.kind === "customer") {
    const check = (text) => (/^https?:\/\/\S+$/.test(text) ? "" : "Begin with https://");
    parts.push(field({ name: "business_name", label: "Business", value: me.business_name, required: true, longest: 120, autocomplete: "organization" }));
    parts.push(field({ name: "website", label: "Website", type: "url", value: me.website ?? "", optional: true, check, longest: 300, placeholder: "https://" }));
  }
  const send = async (values) => {
    const body = Object.fromEntries(Object.entries(values).filter(([, value]) => value));
    ({ version } = await call("PATCH /me", { body, version }));
    await learn();
    toast("Your profile is saved.");
  };
  const head = [h("h1", {}, "Your profile"), h("p", { class: "muted" }, `Signed in as ${session.me.email}`)];
  return { title: "Profile", body: h("div", { class: "narrow stack" }, head, h("div", { class: "card" }, form({ parts, submit: "Save", send }).node)) };
}
