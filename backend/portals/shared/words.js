/** What people read: problems as sentences, money in its currency, dates as people say them. */

const SENTENCES = {
  unreachable: "The service could not be reached. Check your connection and try again.",
  "too-slow": "The service took too long to answer. Try again in a moment.",
  unauthorized: "Your session has ended. Sign in again to go on.",
  locked: "Too many wrong passwords. This account is locked for a quarter of an hour.",
  "version-mismatch": "This was changed elsewhere since you opened it. Reload to see the present state.",
  "not-found": "This does not exist, or it is not yours to see.",
  "agent-offline": "This agent takes no new work at the moment.",
  "no-trial": "This agent offers no trial.",
  "open-hire": "You have hired this agent already. You find it under My agents.",
  "trial-over": "The trial has ended, so it cannot be converted any more.",
  "email-taken": "There is an account with this e-mail address. Sign in instead.",
  "slug-taken": "This short name is taken. Choose another one.",
  "role-not-certified": "Its job role is not certified yet, so it cannot be submitted.",
  "skill-not-certified": "It needs a primary skill, and every skill certified, before it can go on.",
  "already-decided": "This was decided already. Reload to see how.",
  "hire-not-open": "This hire is not open, so nothing can be delivered to it.",
  validation: "Some of it is not right yet. See the marked fields.",
  "too-large": "This is more text than the service takes. Shorten it.",
};

/** A problem as a person would want it: what happened, and what to do. */
export function explain(problem) {
  if (problem.status === 429) return `That was a lot at once. Try again in ${seconds(problem.retryAfterS || 60)}.`;
  if (problem.status === 503) return "The service is busy for a moment. Nothing was changed; try again shortly.";
  if (SENTENCES[problem.kind]) return SENTENCES[problem.kind];
  if (problem.status === 401) return sentence(problem.detail) || SENTENCES.unauthorized;
  if (problem.status === 403) return "Your account may not do this.";
  if (problem.status >= 500 || !problem.status) {
    const reference = problem.requestId ? ` If it happens again, tell us this reference: ${problem.requestId}.` : "";
    return `Something went wrong on our side.${reference}`;
  }
  return sentence(problem.detail) || "This was refused.";
}

const FIELD_WORDS = [
  [/at least (\d+) characters?/, (n) => (n === "1" ? "Fill this in." : `Use at least ${n} characters.`)],
  [/at most (\d+) characters?/, (n) => `Use at most ${n} characters.`],
  [/greater than or equal to (\d+)/, (n) => `Use ${n} or more.`],
  [/less than or equal to (\d+)/, (n) => `Use ${n} or less.`],
  [/at most (\d+) items?/, (n) => `Choose at most ${n}.`],
  [/at least (\d+) items?/, () => "Choose at least one."],
  [/should match pattern/, () => "This does not have the right form."],
  [/valid integer/, () => "Use a whole number."],
  [/Field required/, () => "Fill this in."],
];

/** What the API says of one field, in plain words. */
export function explainField(detail) {
  for (const [pattern, words] of FIELD_WORDS) {
    const match = detail.match(pattern);
    if (match) return words(match[1]);
  }
  return sentence(detail.replace(/^Value error, /, ""));
}

/** The first letter large, a full stop at the end. */
export function sentence(text) {
  if (!text) return "";
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

const digits = (currency) =>
  new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;

/** An amount in the currency's smallest unit: 1200000 INR is ₹12,000. */
export function money(minor, currency) {
  const amount = minor / 10 ** digits(currency);
  const whole = Number.isInteger(amount);
  const options = { style: "currency", currency, minimumFractionDigits: whole ? 0 : undefined };
  return new Intl.NumberFormat(locale(currency), options).format(amount);
}

/** A typed amount in the smallest unit; NaN for what is no amount. */
export function minorOf(text, currency) {
  return Math.round(Number(String(text).replace(",", ".")) * 10 ** digits(currency));
}

/** The reader's language; rupees are grouped as in India. */
function locale(currency) {
  return currency === "INR" && navigator.language.startsWith("en") ? "en-IN" : navigator.language;
}

/** 28 November 2026; of a moment the reader's own day, of a day that day. */
export function day(iso) {
  const timeZone = /^\d{4}-\d\d-\d\d$/.test(iso) ? "UTC" : undefined;
  return new Intl.DateTimeFormat(navigator.language, { dateStyle: "long", timeZone }).format(new Date(iso));
}

/** 28 Nov 2026, 14:05 */
export function moment(iso) {
  return new Intl.DateTimeFormat(navigator.language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
}

const STEPS = [["day", 86_400], ["hour", 3600], ["minute", 60]];

/** "3 days ago", "in 2 hours", "just now"; older than a month the day itself. */
export function ago(iso) {
  const past = (new Date(iso) - Date.now()) / 1000;
  if (Math.abs(past) > 30 * 86_400) return day(iso);
  for (const [unit, size] of STEPS) {
    if (Math.abs(past) >= size) {
      return new Intl.RelativeTimeFormat(navigator.language, { numeric: "auto" }).format(Math.trunc(past / size), unit);
    }
  }
  return "just now";
}

/** "1 day", "5 days" */
export function count(number, one, many = `${one}s`) {
  return `${new Intl.NumberFormat(navigator.language).format(number)} ${number === 1 ? one : many}`;
}

/** "a, b and c" */
export function listed(words) {
  return new Intl.ListFormat(document.documentElement.lang).format(words);
}

/** "12 seconds", "2 minutes" */
export function seconds(number) {
  return number < 90 ? count(number, "second") : count(Math.ceil(number / 60), "minute");
}

/** 0.25 as 25 %; a dash for nothing. */
export function percent(rate) {
  if (rate === null) return "–";
  return new Intl.NumberFormat(navigator.language, { style: "percent", maximumFractionDigits: 0 }).format(rate);
}

/** "1.2 kB" */
export function size(bytes) {
  if (bytes < 1000) return count(bytes, "byte");
  const options = { maximumFractionDigits: 1 };
  return `${new Intl.NumberFormat(navigator.language, options).format(bytes / 1000)} kB`;
}
