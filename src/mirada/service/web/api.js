// The service's API as the page uses it: the token, refusals, uploads with progress, server-sent events.

const KEY = "mirada-token";
let token = null;
let asking = null;
let ask = async () => null;

try {
  token = sessionStorage.getItem(KEY);
} catch {
  // Storage may be forbidden: the token then lives in this variable.
}

/** What the API refused: `status` as in HTTP, 0 where there was no answer, -1 where it hung up on an upload. */
export class Refusal extends Error {
  constructor(status, { detail = "", request_id: requestId = "" } = {}, retryAfter = 0) {
    super(detail || `status ${status}`);
    Object.assign(this, { status, detail, requestId, retryAfter });
  }
}

/** How a person is asked for a token: a function of "the last one was wrong" that gives it, or null. */
export const askTokenWith = (how) => (ask = how);

export const hasToken = () => token !== null;

/** Keep the token for this tab, or forget it with null. */
export function setToken(value) {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // As above.
  }
}

/** Whether it is worth asking again: another token has been given than the one that was refused. */
async function newToken(used) {
  if (token !== used) return token !== null;
  asking ??= ask(used !== null).finally(() => (asking = null));
  const given = await asking;
  if (given === null) return false;
  setToken(given);
  return true;
}

function refusal(status, text, retryAfter) {
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch {
    // A proxy before the service may answer in its own words: the status must do.
  }
  return new Refusal(status, problem ?? {}, Number.parseInt(retryAfter ?? "", 10) || 0);
}

/** fetch() of a path below the page, wherever a proxy has put that; it gives the answer where it is good and throws a Refusal where it is not. */
export async function request(path, options = {}) {
  const used = token;
  const headers = new Headers(options.headers);
  if (used !== null) headers.set("Authorization", `Bearer ${used}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(options.body && (await alive()) ? -1 : 0);
  }
  if (response.ok) return response;
  if (response.status === 401 && (await newToken(used))) return request(path, options);
  throw refusal(response.status, await response.text(), response.headers.get("Retry-After"));
}

export const getJson = async (path, options) => (await request(path, options)).json();

async function alive() {
  try {
    return (await fetch("healthz")).ok;
  } catch {
    return false;
  }
}

/** POST a form, telling `onProgress` the share that has been sent; fetch() can't. Gives the answer's JSON. */
export async function upload(path, form, { headers = {}, signal, onProgress }) {
  const used = token;
  const answer = await new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", path);
    for (const [name, value] of Object.entries(headers)) sending.setRequestHeader(name, value);
    if (used !== null) sending.setRequestHeader("Authorization", `Bearer ${used}`);
    sending.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    sending.addEventListener("load", () => resolve(sending));
    sending.addEventListener("error", async () => reject(new Refusal((await alive()) ? -1 : 0)));
    sending.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    signal.addEventListener("abort", () => sending.abort());
    sending.send(form);
  });
  if (answer.status >= 200 && answer.status < 300) return JSON.parse(answer.responseText);
  if (answer.status === 401 && (await newToken(used))) return upload(path, form, { headers, signal, onProgress });
  throw refusal(answer.status, answer.responseText, answer.getResponseHeader("Retry-After"));
}

/**
 * The server-sent events of a path, as {event, data}. Not EventSource: that can't send a token, and two ways would be two
 * things to test.
 */
export async function* events(path, signal) {
  const response = await request(path, { signal, headers: { Accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    let read;
    try {
      read = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refusal(0);
    }
    if (read.done) return;
    const blocks = (waiting + read.value).split(/\r\n\r\n|\n\n|\r\r/);
    waiting = blocks.pop();
    for (const block of blocks) {
      const event = { event: "message", data: "" };
      for (const line of block.split(/\r\n|\n|\r/)) {
        const [, field, value] = line.match(/^(event|data): ?(.*)$/) ?? [];
        if (field === "event") event.event = value;
        if (field === "data") event.data += value;
      }
      if (event.data) yield { event: event.event, data: JSON.parse(event.data) };
    }
  }
}

/** A key of our own for a job, so that a job sent twice is made once. (randomUUID is missing where there is no https.) */
export function idempotencyKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Fetch a file and hand it to the browser to save. */
export async function download(path, fallbackName) {
  const response = await request(path);
  const [, name] = (response.headers.get("Content-Disposition") ?? "").match(/filename="?([^";]+)"?/) ?? [];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name ?? fallbackName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
