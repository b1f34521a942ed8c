// One image: asked of one variant or two, shown at once, filtered by score without asking again.

import { getJson, request } from "./api.js";
import { compare, MOVED_IOU, tally } from "./boxes.js";
import { byId, make, say } from "./dom.js";
import { hideMessage, showRefusal } from "./messages.js";
import { Pane } from "./pane.js";
import { Photograph } from "./photograph.js";
import { milliseconds, number, onLanguage, t } from "./text.js";
import { View } from "./view.js";

const LEAST_SCORE = 0.05; // what is asked for; the slider begins there

let model = null;
let loaded;
const ready = new Promise((resolve) => (loaded = resolve)); // a file may come in before the model's card
let image = null; // {file, view, picture: {photograph} once it was tried, answers: Map of variant -> answer}
let panes = [];
let stop = new AbortController();
let saying = null;

/** Wire the controls, once. */
export function preparePredict() {
  byId("score").addEventListener("input", update);
  for (const id of ["variant", "against"]) byId(id).addEventListener("change", () => image && ask());
  for (const [id, key] of [
    ["zoom-in", "+"],
    ["zoom-out", "-"],
    ["zoom-whole", "0"],
  ])
    byId(id).addEventListener("click", () => image.view.press(key));
  onLanguage(() => {
    fillVariants();
    if (panes.length) showZoom();
    update();
  });
}

/** The model that answers; another one is asked anew. */
export function useModel(card) {
  const first = model === null;
  const other = !first && model.digest !== card.digest;
  model = card;
  byId("score-control").hidden = card.task !== "detection";
  if (first) byId("score").value = card.min_score ?? 0.25;
  fillVariants();
  loaded();
  if (other && image) {
    image.answers.clear();
    ask();
  }
}

/** What the controls say, for a job. */
export async function chosen() {
  await ready;
  return { variant: byId("variant").value, min_score: byId("score").value };
}

function fillVariants() {
  if (model === null) return;
  const names = model.variants.map((variant) => variant.name);
  const standard = model.variants.find((variant) => variant.default)?.name ?? names[0];
  const variant = byId("variant").value || standard;
  const against = byId("against").options.length ? byId("against").value : names.includes("float32") ? "float32" : "";
  byId("variant").replaceChildren(...names.map((name) => new Option(name, name)));
  byId("against").replaceChildren(new Option(t("against_none"), ""), ...names.map((name) => new Option(name, name)));
  byId("variant").value = names.includes(variant) ? variant : standard;
  byId("against").value = names.includes(against) ? against : "";
}

/** Show a file and what the model finds in it. */
export async function look(file) {
  stop.abort();
  image?.picture?.photograph?.close();
  image = { file, view: new View(), picture: null, answers: new Map() };
  image.view.onChange(showZoom);
  close();
  await ask();
}

async function ask() {
  stop.abort();
  stop = new AbortController();
  const { signal } = stop;
  const asked = image;
  const result = byId("result");
  hideMessage();
  result.hidden = false;
  result.setAttribute("aria-busy", "true");
  if (!panes.length) byId("result-title").textContent = t("looking", { name: asked.file.name });
  try {
    // One after the other: side by side they would slow each other down, and their times are compared.
    await ready;
    const variants = wanted();
    for (const variant of variants) {
      if (!asked.answers.has(variant)) asked.answers.set(variant, await predict(asked.file, variant, signal));
    }
    if (!asked.picture) {
      const bitmap = await createImageBitmap(asked.file).catch(() => rendered(asked.file, signal));
      asked.picture ??= { photograph: bitmap && new Photograph(bitmap) };
    }
    if (signal.aborted) return;
    show(variants);
  } catch (error) {
    if (error.name === "AbortError") return;
    result.hidden = !panes.length;
    showRefusal(error, { name: asked.file.name, retry: ask });
  } finally {
    if (!signal.aborted) result.setAttribute("aria-busy", "false");
  }
}

/** The variants to show, from left to right. */
function wanted() {
  const [variant, against] = [byId("variant").value, byId("against").value];
  return against && against !== variant ? [against, variant] : [variant];
}

function predict(file, variant, signal) {
  const form = new FormData();
  form.append("image", file);
  const query = new URLSearchParams({ variant, min_score: LEAST_SCORE });
  return getJson(`v1/predict?${query}`, { method: "POST", body: form, signal });
}

/** A picture that this browser can't show, TIFF perhaps, as the service shows it: with the boxes above 1, so with none. */
async function rendered(file, signal) {
  if (model?.task !== "detection") return null; // there the one answer would be drawn into it
  const form = new FormData();
  form.append("image", file);
  try {
    const response = await request("v1/predict?annotated=true&min_score=1&view=whole", { method: "POST", body: form, signal });
    return await createImageBitmap(await response.blob());
  } catch {
    return null;
  }
}

function close() {
  for (const pane of panes) pane.close();
  panes = [];
  byId("panes").replaceChildren();
  byId("details").replaceChildren();
  byId("result-summary").replaceChildren();
  byId("result-note").hidden = true;
}

function show(variants) {
  close();
  const answers = variants.map((variant) => image.answers.get(variant));
  const { view, picture } = image;
  panes = answers.map((answer, side) => new Pane(answer, picture.photograph, view, (index) => point(side, index)));
  showZoom();
  byId("panes").dataset.count = String(panes.length);
  byId("panes").append(...panes.map((pane) => pane.element));
  update();
  say(answers.map((answer) => spoken(answer)).join(" "));
}

/** How large it is shown; the whole is 100 %. */
function showZoom() {
  const { zoom, most } = image.view;
  byId("zoom-level").textContent = t("zoom_level", { percent: Math.round(100 * zoom) });
  byId("zoom-out").disabled = byId("zoom-whole").disabled = zoom === 1;
  byId("zoom-in").disabled = zoom >= most;
}

function spoken(answer) {
  if (answer.task !== "detection") {
    const [{ label, score }] = answer.detections;
    return t("answer", { variant: answer.variant, label, score: number(score, 2) });
  }
  return t("found_by", { variant: answer.variant, count: above(answer).length });
}

/** What scores enough, best first. A classifier's one answer is always shown. */
function above(answer) {
  const least = answer.task === "detection" ? Number(byId("score").value) : 0;
  return answer.detections.filter((found) => found.score >= least).sort((a, b) => b.score - a.score);
}

/** Filter and compare anew: after a move of the slider, or in another language. */
function update() {
  byId("score-value").textContent = number(Number(byId("score").value), 2);
  if (!panes.length) return;
  const found = panes.map((pane) => above(pane.answer));
  const boxed = found.every((list) => list.every(({ box }) => box));
  const marks = panes.length === 2 && boxed ? compare(...found) : panes.map(() => null);
  for (const [side, pane] of panes.entries()) {
    const other = panes.length === 2 ? { pane: panes[1 - side], found: found[1 - side], marks: marks[1 - side] } : null;
    pane.show(image.file.name, found[side], marks[side], other);
  }
  byId("result-title").textContent = image.file.name;
  byId("result-note").hidden = image.picture.photograph !== null;
  byId("result-note").textContent = t("picture_unseen");
  byId("result-summary").replaceChildren(...summary(marks));
  byId("details").replaceChildren(
    make(
      "p",
      { class: "soft" },
      t("time_note"),
      marks[0] ? ` ${t("matching_note", { percent: 100 * MOVED_IOU })}` : "",
    ),
  );
  clearTimeout(saying);
  saying = setTimeout(() => say(panes.map((pane) => spoken(pane.answer)).join(" ")), 700);
}

/** Bring a box out in its picture, and its partner in the other. */
function point(side, index) {
  panes[side].point(index);
  if (panes.length === 1) return;
  panes[1 - side].point(index === null ? null : (panes[side].marks?.[index]?.other ?? null));
}

function summary(marks) {
  if (panes.length === 1) return [];
  const answers = panes.map((pane) => pane.answer);
  const lines = [
    make("strong", {}, marks[0] && answers[0].task === "detection" ? boxDifferences(marks) : labelDifference(answers)),
  ];
  if (marks[0]) lines.push(kinds(marks, answers));
  lines.push(make("span", {}, speeds(answers)));
  return lines;
}

function boxDifferences([left, right]) {
  const counts = tally(left);
  const count = counts.only + tally(right).only + counts.moved + counts.label;
  return count === 0 ? t("same_all") : t("differences", { count });
}

function labelDifference([left, right]) {
  const [a, b] = [left.detections[0].label, right.detections[0].label];
  if (a === b) return t("same_answer", { label: a });
  return t("other_answer", { left: left.variant, left_label: a, right: right.variant, right_label: b });
}

/** How many of each kind, each with the sign that marks it in the pictures. */
function kinds([left, right], answers) {
  const counts = tally(left);
  const rows = [
    ["+", counts.only, "count_only", answers[0].variant],
    ["+", tally(right).only, "count_only", answers[1].variant],
    ["↔", counts.moved, "count_moved"],
    ["≠", counts.label, "count_label"],
    ["", counts.same, "count_same"],
  ].filter(([, count]) => count > 0);
  const chips = rows.map(([sign, count, key, variant]) =>
    make(
      "li",
      {},
      make("span", { class: "sign", "aria-hidden": "true", data: { sign } }, sign),
      t(key, { count, variant }),
    ),
  );
  if (rows.some(([sign]) => sign === "+")) {
    chips.push(make("li", {}, make("span", { class: "ghost", "aria-hidden": "true" }), t("legend_missing")));
  }
  return make("ul", { class: "kinds" }, ...chips);
}

function speeds(answers) {
  const [fast, slow] = [...answers].sort((a, b) => a.timings_ms.inference - b.timings_ms.inference);
  const ratio = slow.timings_ms.inference / fast.timings_ms.inference;
  const values = {
    fast: fast.variant,
    slow: slow.variant,
    fast_ms: milliseconds(fast.timings_ms.inference),
    slow_ms: milliseconds(slow.timings_ms.inference),
  };
  return ratio < 1.05 ? t("as_fast", values) : t("faster", { ...values, ratio: number(ratio, 1) });
}
