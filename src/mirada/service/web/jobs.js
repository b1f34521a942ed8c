// Jobs: one shown live, and the list of all.

import { download, events, getJson, idempotencyKey, Refusal, request, upload } from "./api.js";
import { byId, make, say, table } from "./dom.js";
import { isArchive } from "./files.js";
import { hideMessage, showRefusal } from "./messages.js";
import { number, onLanguage, t, time } from "./text.js";
import { clearTiles, showTiles, updateTiles } from "./tiles.js";

const FORMATS = ["json", "coco", "csv", "voc"];
const RETRY_MS = 1000;
const LIST_MS = 4000; // between two looks at the list, while a job in it runs

let job = null; // as the API gives it, kept up to date by its events
let pace = null; // {since, done}: what the time left is reckoned from
let lost = false;
let jobs = [];
let following = new AbortController();
let listing = null;

/** Call again in another language, once. */
export function prepareJobs() {
  onLanguage(() => {
    if (job) {
      draw();
      showTiles(job);
    }
    drawList();
  });
}

/** Send images, or one archive, as a job; gives its id, or null where it was stopped or refused. */
export async function sendJob(files, settings, key = idempotencyKey()) {
  const form = new FormData();
  if (isArchive(files[0])) form.append("archive", files[0]);
  else for (const file of files) form.append("images", file);
  const stop = new AbortController();
  const bar = byId("sending-bar");
  const words = isArchive(files[0])
    ? () => t("uploading_archive", { name: files[0].name })
    : () => t("uploading", { count: files.length });
  hideMessage();
  byId("sending").hidden = false;
  byId("sending-text").textContent = words();
  bar.value = 0;
  byId("sending-stop").onclick = () => stop.abort();
  const onProgress = (share) => {
    bar.value = share;
    if (share >= 1) {
      bar.removeAttribute("value"); // moves to and fro: how long the service reads is not known
      byId("sending-text").textContent = t("uploaded");
    }
  };
  try {
    const query = new URLSearchParams(settings);
    const made = await upload(`v1/jobs?${query}`, form, {
      headers: { "Idempotency-Key": key },
      signal: stop.signal,
      onProgress,
    });
    return made.id;
  } catch (error) {
    if (error.name === "AbortError") say(t("stopped"));
    // With the same key: where the first try arrived after all, it is not done twice.
    else showRefusal(error, { retry: async () => openJob(await sendJob(files, settings, key)) });
    return null;
  } finally {
    byId("sending").hidden = true;
  }
}

/** Go to a job's address, which shows it. */
export function openJob(id) {
  if (id !== null) location.hash = `jobs/${id}`;
}

/** Show the page of jobs: the list and, with an id, one job to its end. */
export async function showJobs(id) {
  leaveJobs();
  following = new AbortController();
  listJobs();
  if (id === null) {
    job = null;
    byId("job").hidden = true;
    byId("tiles-area").hidden = true;
    clearTiles();
    return;
  }
  await follow(id, following.signal);
}

/** The page is left: nothing is asked for any more. */
export function leaveJobs() {
  following.abort();
  clearTimeout(listing);
}

async function follow(id, signal) {
  for (let first = true; !signal.aborted; first = false) {
    try {
      const told = await getJson(`v1/jobs/${encodeURIComponent(id)}`, { signal });
      lost = false;
      start(told);
      if (ended()) {
        if (!first) finish();
        return;
      }
      for await (const { event, data } of events(`v1/jobs/${encodeURIComponent(id)}/events`, signal)) {
        if (event === "progress" || event === "end") take(data);
        if (event === "end") return finish();
      }
    } catch (error) {
      if (signal.aborted) return;
      const passing = error instanceof Refusal && (error.status === 0 || error.status === 429 || error.status >= 500);
      if (!passing) return giveUp(error);
      lost = true;
      if (job) draw();
      else showRefusal(error);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function giveUp(error) {
  const gone = [404, 410, 422].includes(error.status); // 422: what the address holds was never a job's id
  job = null;
  byId("job").hidden = !gone;
  byId("tiles-area").hidden = true;
  byId("job").replaceChildren(make("p", {}, t("job_gone")));
  if (!gone) showRefusal(error);
}

const ended = () => job.state === "done" || job.state === "cancelled";

function start(told) {
  const same = job?.id === told.id;
  job = told;
  if (!same) pace = { since: performance.now(), done: settled() };
  draw();
  showTiles(job);
}

/** Images that need no more waiting for. */
const settled = () => job.counts.done + job.counts.failed + job.counts.cancelled;

function take({ state, counts, changed }) {
  const tenth = Math.floor((10 * settled()) / job.counts.total);
  Object.assign(job, { state, counts });
  for (const { n, state: now, error } of changed ?? []) Object.assign(job.images[n], { state: now, error });
  draw();
  updateTiles(
    job,
    (changed ?? []).map(({ n }) => n),
  );
  if (Math.floor((10 * settled()) / counts.total) > tenth && !ended()) {
    say(t("job_announce", { done: settled(), total: counts.total }));
  }
}

async function finish() {
  const { done, total } = job.counts;
  const { signal } = following;
  say(job.state === "cancelled" ? t("job_ended_cancelled", { done, total }) : t("job_end", { count: total }));
  draw();
  listJobs();
  // When its results go is known only now. What it found stands there already, so a failure costs nothing.
  const told = await getJson(`v1/jobs/${encodeURIComponent(job.id)}`, { signal }).catch(() => null);
  if (told && !signal.aborted) start(told);
}

function draw() {
  const { counts, state } = job;
  const bar = make("progress", { max: counts.total || 1, value: settled(), "aria-label": t("job_progress") });
  const facts = [
    t("job_of", { variant: job.variant, score: job.min_score }),
    t("job_started", { time: time(job.created_at) }),
  ];
  if (job.expires_at) facts.push(t("job_expires", { time: time(job.expires_at) }));
  const numbers = [t("job_done_of", { done: counts.done, total: counts.total })];
  if (counts.failed) numbers.push(t("job_failed", { count: counts.failed }));
  if (counts.cancelled) numbers.push(t("job_cancelled", { count: counts.cancelled }));
  if (!ended() && !lost) numbers.push(...outlook());
  const content = [
    make("div", { class: "job-head" }, make("h2", {}, t("job_title", { count: counts.total })), badge(state)),
    make("p", { class: "soft" }, `${facts.join(" · ")}.`),
    bar,
    make("p", { class: "figures" }, numbers.join(" · ")),
  ];
  if (lost) content.push(make("p", { class: "note" }, t("job_reconnecting")));
  content.push(ended() ? downloads() : make("div", { class: "actions" }, cancelButton()));
  // What is new is put in, not all: a button that has the focus keeps it.
  const panel = byId("job");
  const focused = panel.contains(document.activeElement) ? document.activeElement.dataset.does : null;
  panel.replaceChildren(...content);
  panel.hidden = false;
  if (focused) panel.querySelector(`[data-does="${focused}"]`)?.focus();
}

/** Images a second and the time left, once there is something to reckon from. */
function outlook() {
  const seconds = (performance.now() - pace.since) / 1000;
  const rate = (settled() - pace.done) / seconds;
  if (rate <= 0 || seconds < 1) return [];
  const left = (job.counts.total - settled()) / rate;
  const words = left < 90 ? t("seconds", { count: Math.ceil(left) }) : t("minutes", { count: Math.ceil(left / 60) });
  return [t("job_rate", { rate: number(rate, 1) }), t("job_left", { time: words })];
}

export const badge = (state) => make("span", { class: "badge", data: { state } }, t(`state_${state}`));

function cancelButton() {
  const { id } = job;
  const button = make("button", { type: "button", data: { does: "cancel" } }, t("job_cancel"));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await request(`v1/jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
    } catch (error) {
      button.disabled = false;
      showRefusal(error, { retry: () => button.click() });
    }
  });
  return button;
}

function downloads() {
  const { id } = job;
  const buttons = FORMATS.map((format) => {
    const button = make(
      "button",
      { type: "button", data: { does: format }, "aria-label": t("download", { format: t(`download_${format}`) }) },
      t(`download_${format}`),
    );
    const get = () =>
      download(`v1/jobs/${encodeURIComponent(id)}/results?format=${format}`, `${id}.${format}`).catch((error) =>
        showRefusal(error, { retry: get }),
      );
    button.addEventListener("click", get);
    return button;
  });
  return make(
    "div",
    { class: "actions", role: "group", "aria-label": t("results") },
    make("span", { class: "soft" }, t("results")),
    ...buttons,
  );
}

/** The list, and again while a job in it runs; a look that nobody asked for may fail in silence. */
async function listJobs(unasked = false) {
  clearTimeout(listing);
  let again = unasked;
  try {
    ({ jobs } = await getJson("v1/jobs", { signal: following.signal }));
    drawList();
    again = jobs.some(({ state }) => state === "queued" || state === "running");
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!unasked) showRefusal(error, { retry: listJobs });
  }
  if (again) listing = setTimeout(listJobs, LIST_MS, true);
}

function drawList() {
  if (!jobs.length) {
    byId("jobs").replaceChildren(make("p", { class: "soft" }, t("jobs_none")));
    return;
  }
  const rows = jobs.map(({ id, state, counts, created_at: created }) => {
    const link = make(
      "a",
      { href: `#jobs/${id}`, "aria-label": t("job_open_label", { count: counts.total, time: time(created) }) },
      time(created),
    );
    return [link, badge(state), t("job_done_of", { done: counts.done, total: counts.total })];
  });
  byId("jobs").replaceChildren(
    table([t("column_started"), t("column_state"), t("column_progress")], rows, t("jobs_all")),
  );
}
