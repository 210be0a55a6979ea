/** Choosing an agent's skills: an ordered list whose first one is the main skill. */

import { fill, freshId, h } from "../shared/dom.js";
import { announce } from "../shared/ui.js";

const MOST = 20;

/** A part of a form; reads as slugs, the main one first. */
export function skillPicker(known, chosen) {
  let slugs = [...chosen];
  const id = freshId("skills");
  const list = h("ol", { class: "stack-s" });
  const wrong = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const add = h("select", { class: "input", id, "aria-describedby": `${id}-hint ${id}-wrong` });
  add.addEventListener("change", () => {
    if (!add.value) return;
    slugs.push(add.value);
    announce(`${title(add.value)} added`);
    draw();
    add.focus();
  });

  const title = (slug) => known.find((each) => each.slug === slug)?.name ?? slug;

  function draw() {
    const rest = known.filter((each) => !slugs.includes(each.slug));
    fill(list, slugs.map(row));
    fill(add, h("option", { value: "" }, slugs.length ? "Add another skill …" : "Add a skill …"), rest.map((each) => h("option", { value: each.slug }, each.name)));
    add.disabled = slugs.length >= MOST;
  }

  function row(slug, index) {
    const move = () => {
      slugs = [slug, ...slugs.filter((each) => each !== slug)];
      announce(`${title(slug)} is the main skill now`);
      draw();
      add.focus();
    };
    const drop = () => {
      slugs = slugs.filter((each) => each !== slug);
      announce(`${title(slug)} removed`);
      draw();
      add.focus();
    };
    const small = (label, action, name) => h("button", { class: "button compact plain", type: "button", onclick: action, "aria-label": name }, label);
    const main = index === 0 ? h("span", { class: "badge tone-brand" }, "Main skill") : small("Make main", move, `Make ${title(slug)} the main skill`);
    return h("li", { class: "row spread chosen" }, h("span", {}, title(slug)), h("span", { class: "row" }, main, small("Remove", drop, `Remove ${title(slug)}`)));
  }

  draw();
  const label = h("label", { for: id }, "Skills");
  const hint = h("p", { class: "hint", id: `${id}-hint` }, "Certified skills only. The main one comes first.");
  return {
    name: "skills",
    node: h("div", { class: "field" }, label, hint, list, add, wrong),
    read: () => slugs,
    problem: () => "",
    show(text) {
      fill(wrong, text).hidden = !text;
    },
    focus: () => add.focus(),
  };
}
