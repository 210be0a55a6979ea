/** The catalogue's words for slugs: industries, certified job roles and skills. */

import { call } from "../shared/api.js";

/** Lists of `{slug, name}` by kind, and `of(kind, slug)` for one name. */
export async function names(signal) {
  const [industries, roles, skills] = await Promise.all([
    call("GET /industries", { signal }),
    call("GET /job-roles", { signal }),
    call("GET /skills", { signal }),
  ]);
  const found = { industries: industries.items, roles: roles.items, skills: skills.items };
  return { ...found, of: (kind, slug) => found[kind].find((each) => each.slug === slug)?.name ?? slug };
}
