/** Dialogs: the browser's own modal, which keeps the focus inside, closes on Escape and gives the focus back. */

import { freshId, h } from "./dom.js";
import { form } from "./form.js";

/**
 * Opens a dialog; `build(close)` makes its content. Resolves with what `close` was given, undefined for Escape.
 */
export function open(title, build) {
  const id = freshId("dialog");
  return new Promise((resolve) => {
    let result;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    const heading = h("h2", { id, tabindex: "-1" }, title);
    const dialog = h("dialog", { "aria-labelledby": id }, h("div", { class: "stack" }, heading, build(close)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("input:not([type=hidden]), select, textarea") ?? heading).focus();
  });
}

/** A dialog that is one form. `send(values)` does the work; the dialog closes with what it gives, true for nothing. */
export function ask({ title, lead, parts = [], submit, send, danger }) {
  return open(title, (close) => {
    const work = async (values) => close((await send(values)) ?? true);
    const made = form({ parts, submit, danger, send: work, cancel: () => close() });
    return [lead && h("p", { class: "muted" }, lead), made.node];
  });
}
