// What the page says: one language at a time, and numbers and times as that language writes them.

import { STRINGS } from "./strings.js";

const KEY = "mirada-language";
const listeners = [];
const formats = new Map(); // Intl.NumberFormat by region and digits
let language = start();

function start() {
  let chosen = null;
  try {
    chosen = localStorage.getItem(KEY);
  } catch {
    // Storage may be forbidden: the browser's language then.
  }
  const wanted = [chosen, ...navigator.languages.map((tag) => tag.split("-")[0])];
  return wanted.find((tag) => tag && Object.hasOwn(STRINGS, tag)) ?? "en";
}

/** The text of a key of strings.js, its {values} put in; numbers are written as the language writes them. */
export function t(key, values = {}) {
  let text = STRINGS[language][key];
  if (text === undefined) throw new Error(`strings.js has no ${key} in ${language}`);
  if (typeof text === "object") text = text[new Intl.PluralRules(language).select(values.count)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) =>
    typeof values[name] === "number" ? number(values[name]) : values[name],
  );
}

/** Whether strings.js has this key: for words that the API chooses. */
export const known = (key) => Object.hasOwn(STRINGS.en, key);

/** A number with `digits` decimals, or with up to three. */
export function number(value, digits) {
  const key = `${region()} ${digits}`;
  if (!formats.has(key)) {
    const exactly =
      digits === undefined
        ? { maximumFractionDigits: 3 }
        : { minimumFractionDigits: digits, maximumFractionDigits: digits };
    formats.set(key, new Intl.NumberFormat(region(), exactly)); // making one takes longer than a thousand uses
  }
  return formats.get(key).format(value);
}

/** Milliseconds: three figures are enough. */
export const milliseconds = (value) => number(value, value < 1 ? 2 : value < 10 ? 1 : 0);

/** Bytes in megabytes of 10^6. */
export const megabytes = (bytes) => number(bytes / 1e6, 2);

/** An ISO 8601 time in the reader's time zone; of today the hour alone, unless `whole`. */
export function time(iso, whole = false) {
  const when = new Date(iso);
  const today = !whole && when.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(
    region(),
    today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" },
  ).format(when);
}

/** The reader's own kind of the language, en-GB perhaps: it decides how dates, numbers and lists are written. */
const region = () => navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;

/** Several words in a row, as the language joins them. */
export const listing = (words) => new Intl.ListFormat(region(), { type: "conjunction" }).format(words);

/** Call `again` whenever the language changes. */
export const onLanguage = (again) => listeners.push(again);

/** Every element that names its text (data-text) or its label (data-label) gets it. */
export function fill(root = document) {
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]"))
    element.setAttribute("aria-label", t(element.dataset.label));
}

/** Put the choice of languages into a select element, and the page into the language. */
export function languageSwitch(select) {
  for (const [tag, strings] of Object.entries(STRINGS)) select.add(new Option(strings.language_name, tag));
  select.value = language;
  select.addEventListener("change", () => {
    language = select.value;
    try {
      localStorage.setItem(KEY, language);
    } catch {
      // Then it holds until the page is loaded again.
    }
    show();
  });
  show();
}

function show() {
  document.documentElement.lang = language;
  fill();
  for (const again of listeners) again();
}
