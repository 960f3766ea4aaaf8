/* The script of the usage report, in several files that are put behind each other. This one: how values are written,
   and what the words of the tables are called on the page. */
"use strict";

const NUMBER = new Intl.NumberFormat("en-US");
const COLLATOR = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY_MILLISECONDS = 86400000;
const UNKNOWN = "–";

const MOVEMENTS = {
  new: ["New", "good"],
  riser: ["Rising", "good"],
  faller: ["Falling", "bad"],
  steady: ["Steady", ""],
  gone: ["Gone", "bad"],
  none: ["Not viewed", ""],
};
const TIERS = {
  power: ["Power", "accent"],
  regular: ["Regular", "good"],
  occasional: ["Occasional", ""],
  lapsed: ["Lapsed", "bad"],
  dormant: ["Dormant", "bad"],
  never: ["Never", "bad"],
  unknown: ["Unknown", ""],
};
const NO_LICENCE = ["may not use Sigma", "bad"];
const REASONS = {
  never_seen: "Never seen viewed",
  no_impressions: "Not viewed for 60 days",
  few_users: "Viewed by few",
};
const RESOURCE_KINDS = { sigma_workbook: "Workbooks", sigma_data_model: "Data models", sigma_element: "Elements" };

const number = (value) => (value === null ? UNKNOWN : NUMBER.format(value));
const percent = (value, digits = 0) => (value === null ? UNKNOWN : `${(value * 100).toFixed(digits)}%`);
const dateOf = (value) => new Date(value * DAY_MILLISECONDS);
const day = (value) => (value === null ? UNKNOWN : dateOf(value).toISOString().slice(0, 10));
const shortDay = (value) => `${dateOf(value).getUTCDate()} ${MONTHS[dateOf(value).getUTCMonth()]}`;
const longDay = (value) => `${shortDay(value)} ${dateOf(value).getUTCFullYear()}`;
/* 0 is Monday: the first day of 1970 was a Thursday. */
const weekday = (value) => (value + 3) % 7;
const counted = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
const labels = (pairs) => Object.fromEntries(Object.entries(pairs).map(([key, [label]]) => [key, label]));
const range = (length, first = 0) => Array.from({ length }, (_, place) => first + place);
const total = (values) => values.reduce((sum, value) => sum + value, 0);

/* Into the list of a key of a map. */
function put(groups, key, item) {
  const found = groups.get(key);
  if (found) found.push(item);
  else groups.set(key, [item]);
}

/* A change as a share of what was: `+12%`. */
function signed(share) {
  const rounded = Math.round(Math.abs(share) * 100);
  return `${rounded === 0 ? "±" : share > 0 ? "+" : "−"}${NUMBER.format(rounded)}%`;
}

/* Texts as they are compared with what is searched: without case and accents. */
function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}
