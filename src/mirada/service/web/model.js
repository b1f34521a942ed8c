// The model's card, and what each variant costs in accuracy, bytes and milliseconds.

import { byId, make, table } from "./dom.js";
import { known, listing, megabytes, milliseconds, number, onLanguage, t, time } from "./text.js";

const MOST_LABELS = 6;
let cards = [];

/** Call again in another language, once. */
export function prepareModel() {
  onLanguage(() => showModels(cards));
}

/** Show the models, and the first one in a line above the images. */
export function showModels(models) {
  cards = models;
  byId("models").replaceChildren(...(cards.length ? cards.map(card) : [make("p", { class: "soft" }, t("model_none"))]));
  byId("model-line").textContent = cards.length ? line(cards[0]) : "";
}

function line(model) {
  const labels = model.labels.slice(0, MOST_LABELS);
  const left = model.labels.length - labels.length;
  const words = left ? t("more_labels", { labels: labels.join(", "), count: left }) : listing(labels);
  const sentence = t(`model_line_${model.task}`, { name: model.name, labels: words });
  const standard = model.variants.find((variant) => variant.default) ?? model.variants[0];
  if (standard?.latency_ms_p50 === undefined) return sentence;
  const values = {
    variant: standard.name,
    size: megabytes(standard.size_bytes),
    latency: milliseconds(standard.latency_ms_p50),
  };
  return `${sentence} ${t("model_cost", values)}`;
}

function card(model) {
  const facts = [
    ["model_task", t(`task_${model.task}`)],
    ["model_labels", model.labels.join(", ")],
    [
      "model_input",
      t("model_input_text", { size: String(model.input_size), channels: t(`channels_${model.channels}`) }),
    ],
    ["model_version", model.version],
    ["model_trained", model.trained_at && time(model.trained_at, true)],
    ["model_commit", model.git_commit?.slice(0, 12)],
    ["model_data", model.data_digest?.slice(0, 12)],
    ["model_digest", model.digest.slice(0, 12)],
  ].filter(([, value]) => value);
  const split = known(`split_${model.split}`) ? t(`split_${model.split}`) : model.split;
  const metric = model.metric_name ?? model.metric;
  return make(
    "article",
    {},
    make("h2", {}, model.name),
    make(
      "dl",
      { class: "panel" },
      ...facts.map(([key, value]) => make("div", {}, make("dt", {}, t(key)), make("dd", {}, value))),
    ),
    make("h3", {}, t("model_variants")),
    variants(model, metric),
    make("p", { class: "soft" }, t("model_measured", { metric, split })),
    make("p", { class: "soft" }, t("model_latency")),
  );
}

function variants(model, metric) {
  const most = (key) => Math.max(...model.variants.map((variant) => variant[key] ?? 0));
  const rows = model.variants.map((variant) => [
    make("span", {}, variant.name, variant.default ? make("span", { class: "badge" }, t("default")) : null),
    figure(variant[model.metric], 3),
    drop(variant),
    withBar(variant.size_bytes && megabytes(variant.size_bytes), variant.size_bytes / most("size_bytes")),
    variant.size_gzip_bytes ? megabytes(variant.size_gzip_bytes) : t("not_measured"),
    withBar(
      variant.latency_ms_p50 && milliseconds(variant.latency_ms_p50),
      variant.latency_ms_p50 / most("latency_ms_p50"),
    ),
    variant.latency_ms_p95 ? milliseconds(variant.latency_ms_p95) : t("not_measured"),
  ]);
  const head = [
    t("column_variant"),
    metric,
    t("column_drop"),
    t("column_size"),
    t("column_gzip"),
    t("column_p50"),
    t("column_p95"),
  ];
  return table(head, rows, t("model_variants"));
}

const figure = (value, digits) =>
  value === undefined || value === null ? t("not_measured") : number(Number(value), digits);

/** With its sign, and its 95 % interval in brackets. */
function drop({ drop: value, drop_low: low, drop_high: high, name }) {
  if (value === undefined || value === null || name === "float32") return t("not_measured");
  const interval = low === undefined ? "" : ` [${signed(low)}, ${signed(high)}]`;
  return signed(value) + interval;
}

function signed(value) {
  const text = number(Math.abs(value), 3);
  return Number(value).toFixed(3) === "0.000" || Number(value).toFixed(3) === "-0.000"
    ? text
    : `${value > 0 ? "+" : "−"}${text}`;
}

/** A figure over a bar of its share of the largest. */
function withBar(text, share) {
  if (!text) return t("not_measured");
  const bar = make("span", { class: "mini", "aria-hidden": "true" });
  bar.style.width = `${Math.round(100 * share)}%`;
  return make("span", { class: "with-bar" }, text, bar);
}
