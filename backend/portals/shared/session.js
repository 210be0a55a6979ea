/**
 * Who is signed in. The access token lives in this module's memory only; what outlives a reload is the refresh cookie,
 * which scripts cannot read. A mark in localStorage says that there may be one, so that visitors are not asked for it.
 */

import { PREFIX, Problem, send } from "./http.js";

const MARK = "plant.signed-in";
const EARLY_MS = 30_000;

let token = "";
let endsAt = 0;
let refreshing = null;

export const session = new EventTarget();
session.me = null;
session.ask = async () => false; // the page's way to have people sign in where they are; true when they did

/** Signs in and learns who it is. Throws Problem. */
export async function signIn(username, password) {
  const { data } = await send("POST", `${PREFIX}/auth/token`, { form: { grant_type: "password", username, password } });
  keep(data);
  await learn();
}

/** Takes up the session of the cookie, if there is one. Never throws: without one the visitor is nobody. */
export async function resume() {
  if (!localStorage.getItem(MARK)) return;
  try {
    await refresh();
    await learn();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
}

/** Ends the session here and on the server. */
export async function signOut() {
  try {
    await send("POST", `${PREFIX}/auth/logout`);
  } finally {
    forget();
  }
}

/** The Authorization header; renews a token that is about to run out. Empty for nobody. Throws Problem 401. */
export async function credentials() {
  if (!token) return {};
  if (Date.now() > endsAt - EARLY_MS) await refresh();
  return { Authorization: `Bearer ${token}` };
}

/** The next access token, asked for once at a time: in this page by one promise, among tabs by a lock. */
export function refresh() {
  refreshing ??= navigator.locks
    .request("plant.refresh", async () => {
      try {
        const { data } = await send("POST", `${PREFIX}/auth/refresh`, { keepalive: true });
        keep(data);
      } catch (error) {
        if (error.status === 401) forget();
        throw error;
      }
    })
    .finally(() => {
      refreshing = null;
    });
  return refreshing;
}

/** Reads who is signed in anew, after a change of the profile. */
export async function learn() {
  const headers = { Authorization: `Bearer ${token}` };
  const { data } = await send("GET", `${PREFIX}/me`, { headers });
  session.me = data;
  session.dispatchEvent(new Event("change"));
}

function keep(data) {
  token = data.access_token;
  endsAt = Date.now() + data.expires_in * 1000;
  localStorage.setItem(MARK, "1");
}

function forget() {
  token = "";
  endsAt = 0;
  localStorage.removeItem(MARK);
  session.me = null;
  session.dispatchEvent(new Event("change"));
}

// Signing out in one tab signs out all.
window.addEventListener("storage", (event) => {
  if (event.key === MARK && event.newValue === null && token) forget();
});
