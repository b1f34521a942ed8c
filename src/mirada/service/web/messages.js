// What went wrong, in a box at the head of the page, with a button to try again where that may help.

import { Refusal } from "./api.js";
import { byId } from "./dom.js";
import { known, onLanguage, t } from "./text.js";

let shown = null; // {title, detail, retry, at}, for the countdown and for another language
let ticking = null;

/** Wire the box's buttons, once. */
export function prepareMessages() {
  byId("alert-close").addEventListener("click", hideMessage);
  byId("alert-retry").addEventListener("click", () => {
    const { retry } = shown;
    hideMessage();
    retry();
  });
  onLanguage(() => shown && write());
}

export function hideMessage() {
  clearInterval(ticking);
  shown = null;
  byId("alert").hidden = true;
}

/** A mistake that the page itself sees: a key of strings.js. */
export function showMistake(key) {
  show({ title: () => t("error_422"), detail: () => t(key), retry: null, at: 0 });
}

/** A Refusal; anything else is a bug of the page and goes to the console. `name` is the file's, `retry` may be null. */
export function showRefusal(error, { name = "", retry = null } = {}) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Refusal)) throw error;
  const { status, detail, requestId } = error;
  const kind = status === 0 ? "error_network" : status === -1 ? "error_broken" : `error_${status}`;
  const words = () => (status <= 0 ? t(`${kind}_detail`) : detail || t("error_status", { status: String(status) }));
  const again = status <= 0 || status === 429 || status >= 500;
  show({
    title: () => t(known(kind) ? kind : "error_other"),
    detail: () =>
      (name ? t("error_file", { name, detail: words() }) : words()) +
      (status >= 500 && requestId ? ` ${t("error_request", { id: requestId })}` : ""),
    retry: again ? retry : null,
    at: error.retryAfter ? Date.now() + 1000 * error.retryAfter : 0,
  });
}

function show(message) {
  clearInterval(ticking);
  shown = message;
  write();
  byId("alert").hidden = false;
  byId("alert").scrollIntoView({ block: "nearest" });
  if (shown.at) ticking = setInterval(countDown, 500);
}

function write() {
  byId("alert-title").textContent = shown.title();
  byId("alert-detail").textContent = shown.detail();
  byId("alert-retry").hidden = shown.retry === null;
  countDown();
}

/** The button counts, not the text: that would be read aloud twice a second. */
function countDown() {
  const left = Math.max(0, Math.ceil((shown.at - Date.now()) / 1000));
  const button = byId("alert-retry");
  button.disabled = left > 0;
  button.textContent = left > 0 ? t("error_429_wait", { count: left }) : t("try_again");
  if (left === 0) clearInterval(ticking);
}
