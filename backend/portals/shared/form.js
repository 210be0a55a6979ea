/** Forms: fields with labels, hints and errors beside them; busy while sending; the API's refusals at their fields. */

import { fill, freshId, h } from "./dom.js";
import { Problem } from "./http.js";
import { explain, explainField } from "./words.js";

/**
 * A field. `spec`: name, label, type (a type of <input>, or textarea, select, checkbox), value, hint, required, min
 * and max length, `options` of a select as [value, label], `check(value)` giving what is wrong.
 */
export function field(spec) {
  const id = freshId(spec.name);
  const wrong = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const hint = spec.hint && h("p", { class: "hint", id: `${id}-hint` }, spec.hint);
  const input = control(spec, id, hint);
  const label = h("label", { for: id }, spec.label, spec.optional && h("span", { class: "muted" }, " (optional)"));
  const node =
    spec.type === "checkbox"
      ? h("div", { class: "field" }, h("div", { class: "choice" }, input, label), hint, wrong)
      : h("div", { class: "field" }, label, hint, spec.unit ? withUnit(input, spec.unit) : input, wrong);
  const own = {
    node,
    input,
    name: spec.name,
    read: () => (spec.type === "checkbox" ? input.checked : spec.raw ? input.value : input.value.trim()),
    problem: () => complaint(spec, own.read()),
    show(text) {
      fill(wrong, text).hidden = !text;
      input.setAttribute("aria-invalid", String(Boolean(text)));
    },
    focus: () => input.focus(),
  };
  // While typing and not on leaving: a line that vanishes then moves the button away from under the pointer.
  input.addEventListener("input", () => input.getAttribute("aria-invalid") === "true" && own.show(own.problem()));
  return own;
}

function withUnit(input, unit) {
  return h("div", { class: "with-unit" }, input, h("span", { class: "muted small" }, unit));
}

function control(spec, id, hint) {
  const shared = {
    id,
    name: spec.name,
    class: spec.type === "checkbox" ? null : "input",
    required: spec.required,
    disabled: spec.disabled ?? false,
    autocomplete: spec.autocomplete,
    inputmode: spec.inputmode,
    placeholder: spec.placeholder,
    maxlength: spec.longest,
    rows: spec.rows,
    "aria-describedby": [hint && `${id}-hint`, `${id}-wrong`].filter(Boolean).join(" "),
  };
  if (spec.type === "select") {
    const options = spec.options.map(([value, label]) => h("option", { value }, label));
    const select = h("select", shared, options);
    select.value = spec.value ?? spec.options[0]?.[0] ?? "";
    return select;
  }
  if (spec.type === "textarea") return h("textarea", { ...shared, value: spec.value ?? "" });
  if (spec.type === "checkbox") return h("input", { ...shared, type: "checkbox", checked: spec.value ?? false });
  return h("input", { ...shared, type: spec.type ?? "text", value: spec.value ?? "" });
}

function complaint(spec, value) {
  if (spec.required && !value) return spec.missing ?? (spec.type === "select" ? "Choose one." : "Fill this in.");
  if (!value) return "";
  if (spec.shortest && value.length < spec.shortest) return `Use at least ${spec.shortest} characters.`;
  return spec.check?.(value) ?? "";
}

/** Several choices of which one is taken; reads as its value. */
export function choices({ name, label, options, value }) {
  const made = options.map(([key, title, hint]) => {
    const input = h("input", { type: "radio", name, value: key, checked: key === value });
    const words = h("span", {}, h("strong", {}, title), hint && h("span", { class: "hint" }, ` ${hint}`));
    return { input, node: h("label", { class: "option" }, input, words) };
  });
  return {
    name,
    node: h("fieldset", { class: "field" }, h("legend", { class: "legend" }, label), h("div", { class: "options" }, made.map((one) => one.node))),
    read: () => made.find((one) => one.input.checked)?.input.value,
    problem: () => "",
    show: () => {},
    focus: () => made[0].input.focus(),
  };
}

/**
 * A form of fields and nodes. `send(values)` does the work; what it throws is shown. `cancel` adds a button before it.
 */
export function form({ parts, submit, send, cancel, danger = false, wide = false }) {
  const fields = parts.filter((part) => part.read);
  const trouble = h("div", { role: "alert" });
  const kind = `button primary${danger ? " danger" : ""}${wide ? " wide" : ""}`;
  const button = h("button", { class: kind, type: "submit" }, submit);
  const away = cancel && h("button", { class: "button", type: "button", onclick: cancel }, "Cancel");
  const actions = h("div", { class: away ? "dialog-actions" : "row" }, away, button);
  const nodes = parts.map((part) => part.node ?? part);
  const node = h("form", { class: "form", novalidate: true, onsubmit: sent }, nodes, trouble, actions);

  async function sent(event) {
    event.preventDefault();
    if (button.getAttribute("aria-busy") === "true") return;
    fill(trouble);
    const bad = fields.filter((each) => (each.show(each.problem()), each.problem()));
    if (bad.length) {
      bad[0].focus();
      return;
    }
    button.setAttribute("aria-busy", "true");
    try {
      await send(Object.fromEntries(fields.map((each) => [each.name, each.read()])));
    } catch (error) {
      refuse(error);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  function refuse(error) {
    if (!(error instanceof Problem)) throw error;
    const marked = [];
    for (const { where, detail } of error.fields) {
      const [, name] = where.split(".");
      const found = fields.find((each) => each.name === name);
      if (!found) continue;
      found.show(explainField(detail));
      marked.push(found);
    }
    const rest = error.fields.filter(({ where }) => !fields.some((each) => each.name === where.split(".")[1]));
    const more = rest.map(({ detail }) => h("span", {}, explainField(detail)));
    fill(trouble, h("div", { class: "notice bad" }, h("p", {}, error.words ?? explain(error)), more));
    marked[0]?.focus();
  }

  return { node, fields, focus: () => fields[0]?.focus() };
}
