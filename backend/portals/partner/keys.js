/** API keys: made with a secret that is shown once, listed, revoked. */

import { call } from "../shared/api.js";
import { ask, open } from "../shared/dialog.js";
import { fill, freshId, h } from "../shared/dom.js";
import { field } from "../shared/form.js";
import { render } from "../shared/router.js";
import { badge, button, empty, notice, table, toast } from "../shared/ui.js";
import { ago, day } from "../shared/words.js";

const SCOPES = [["agents:read", "Read your agents and their numbers"], ["agents:write", "Make and change agents"], ["hires:read", "Read hires"], ["deliverables:write", "Deliver work"]];
const LASTS = [["30", "30 days"], ["90", "90 days"], ["365", "A year"], ["730", "Two years"]];

export async function keys({ signal }) {
  const found = await call("GET /partner/api-keys", { signal });
  const lead = h("p", { class: "muted" }, "For your own programs. A key is sent in the header ", h("code", { class: "code" }, "X-API-Key"), ".");
  const head = h("div", { class: "page-head" }, h("div", { class: "stack-s" }, h("h1", {}, "API keys"), lead), button("New key", create, "primary"));
  if (!found.items.length) return { title: "API keys", body: [head, empty("No keys yet", "Make one to deliver work or manage agents from your own systems.", button("New key", create, "primary"))] };
  const list = table("Your API keys", COLUMNS, found.items);
  return { title: "API keys", body: [head, h("div", { class: "card table-card" }, list.node)] };
}

const COLUMNS = [
  ["Key", (key) => h("div", {}, h("strong", {}, key.name), h("p", { class: "code muted" }, `plk_${key.prefix}_…`))],
  ["May", (key) => h("ul", { class: "row" }, key.scopes.map((scope) => h("li", { class: "tag" }, scope)))],
  ["Ends", (key) => (key.expires_at ? day(key.expires_at) : "Never")],
  ["Last used", (key) => (key.last_used_at ? ago(key.last_used_at) : "Never")],
  ["", standing, "end"],
];

function standing(key) {
  if (key.revoked_at) return badge("Revoked");
  if (key.expires_at && new Date(key.expires_at) < new Date()) return badge("Over");
  return button("Revoke", () => revoke(key), "compact danger");
}

async function create() {
  const parts = [field({ name: "name", label: "Name", required: true, longest: 80, hint: "What uses it, such as “Nightly deliveries”." }), scopes(), field({ name: "lasts", label: "Works for", type: "select", options: LASTS, value: "365" })];
  const send = ({ name, scopes: chosen, lasts }) => call("POST /partner/api-keys", { body: { name, scopes: chosen, expires_in_days: Number(lasts) } });
  const made = await ask({ title: "New API key", parts, submit: "Make key", send });
  if (!made) return;
  await show(made);
  await render();
}

function scopes() {
  const boxes = SCOPES.map(([value, label]) => ({ value, label, id: freshId("scope"), input: h("input", { type: "checkbox", value, checked: value.endsWith(":read") }) }));
  const wrong = h("p", { class: "wrong", id: freshId("scopes"), hidden: true });
  for (const box of boxes) box.input.id = box.id;
  const rows = boxes.map((box) => h("div", { class: "choice" }, box.input, h("label", { for: box.id }, box.label)));
  const read = () => boxes.filter((box) => box.input.checked).map((box) => box.value);
  return {
    name: "scopes",
    node: h("fieldset", { class: "field", "aria-describedby": wrong.id }, h("legend", { class: "legend" }, "It may"), rows, wrong),
    read,
    problem: () => (read().length ? "" : "Choose at least one."),
    show(text) {
      fill(wrong, text).hidden = !text;
    },
    focus: () => boxes[0].input.focus(),
  };
}

function show(made) {
  return open("Copy your key now", (close) => {
    const secret = h("input", { class: "input code", readonly: true, value: made.key, "aria-label": "The key" });
    const copied = h("span", { role: "status", class: "small" });
    const copy = async () => {
      secret.select();
      await navigator.clipboard.writeText(made.key).then(
        () => fill(copied, "Copied."),
        () => fill(copied, "Press Ctrl+C to copy what is selected."),
      );
    };
    const actions = h("div", { class: "dialog-actions" }, copied, button("Copy", copy), button("I have kept it", () => close(), "primary"));
    return [notice("warn", h("p", {}, "This is the only time it is shown. Keep it where your secrets are.")), secret, actions];
  });
}

async function revoke(key) {
  const lead = "Whatever uses it stops working within a quarter of a minute. This cannot be undone.";
  const send = () => call("DELETE /partner/api-keys/{key_id}", { key_id: key.id });
  if (!(await ask({ title: `Revoke ${key.name}?`, lead, submit: "Revoke", send, danger: true }))) return;
  toast(`${key.name} is revoked.`);
  await render();
}
