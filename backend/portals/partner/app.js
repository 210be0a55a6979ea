/** The partners' portal, and the operators' desk: its pages, and who may see them. */

import { profile } from "../shared/account.js";
import { h } from "../shared/dom.js";
import { session } from "../shared/session.js";
import { signInPage, start } from "../shared/shell.js";
import { agents } from "./agents.js";
import { audit } from "./audit.js";
import { certification } from "./certification.js";
import { edit, make } from "./editor.js";
import { hires } from "./hires.js";
import { jobs } from "./jobs.js";
import { keys } from "./keys.js";
import { listings } from "./listings.js";
import { performance } from "./performance.js";
import { review } from "./review.js";

const PARTNER = [["#/agents", "Agents"], ["#/hires", "Hires"], ["#/keys", "API keys"]];
const OPERATOR = [["#/review", "Review"], ["#/certification", "Certification"], ["#/listings", "Listings"], ["#/audit", "Audit"], ["#/jobs", "Jobs"]];

const partner = { needs: ["partner"] };
const operator = { needs: ["operator"] };
const either = { needs: ["partner", "operator"] };

start({
  name: "WAOOAW partners",
  kinds: ["partner", "operator"],
  audience: "partners and operators",
  welcome,
  nav: (me) => ({ partner: PARTNER, operator: OPERATOR })[me?.kind] ?? [],
  routes: [
    ["/", (context) => (session.me.kind === "operator" ? review(context) : agents(context)), either],
    ["/agents", agents, partner],
    ["/agents/new", make, partner],
    ["/agents/:id", edit, partner],
    ["/agents/:id/performance", performance, partner],
    ["/hires", hires, partner],
    ["/keys", keys, partner],
    ["/review", review, operator],
    ["/certification", certification, operator],
    ["/listings", listings, operator],
    ["/audit", audit, operator],
    ["/jobs", jobs, operator],
    ["/profile", profile, either],
    ["/sign-in", signInPage],
  ],
});

function welcome() {
  const points = ["List agents and follow them through review.", "Deliver work to the customers who hired them.", "See thirty days of hires at a glance."];
  const join = h("p", { class: "muted" }, "Accounts for partners are opened by our operators.");
  return h("div", { class: "stack" }, h("h2", {}, "Put your agents to work"), h("ul", { class: "points" }, points.map((text) => h("li", {}, text))), join);
}
