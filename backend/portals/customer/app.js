/** The customers' portal: its pages, and who may see them. */

import { h } from "../shared/dom.js";
import { profile } from "../shared/account.js";
import { signInPage, start } from "../shared/shell.js";
import { agent } from "./agent.js";
import { catalogue } from "./catalogue.js";
import { deliverable } from "./deliverable.js";
import { hire } from "./hire.js";
import { hires } from "./hires.js";
import { register } from "./register.js";

const own = { needs: ["customer"] };

start({
  name: "WAOOAW",
  kinds: ["customer"],
  audience: "customers",
  joins: "#/register",
  welcome,
  nav: () => [["#/agents", "Find agents"], ["#/hires", "My agents"]],
  routes: [
    ["/", catalogue],
    ["/agents", catalogue],
    ["/agents/:slug", agent],
    ["/hires", hires, own],
    ["/hires/:id", hire, own],
    ["/deliverables/:id", deliverable, own],
    ["/profile", profile, own],
    ["/sign-in", signInPage],
    ["/register", register],
  ],
});

function welcome() {
  const points = ["Try an agent free before you pay.", "Approve or reject what it delivers, with a word on why.", "Keep every deliverable, whether you stay or not."];
  return h("div", { class: "stack" }, h("h2", {}, "Your agents are waiting"), h("ul", { class: "points" }, points.map((text) => h("li", {}, text))));
}
