// What one variant says about one image: picture with boxes, times, and the same as a list that a keyboard can walk.

import { classColour, iou, SAME_OBJECT_IOU } from "./boxes.js";
import { make } from "./dom.js";
import { takeGestures } from "./gestures.js";
import { Picture } from "./picture.js";
import { known, milliseconds, number, t } from "./text.js";

const MOST_BARS = 10;
let panesMade = 0;

export class Pane {
  /**
   * @param {object} answer of /v1/predict
   * @param {import("./photograph.js").Photograph | null} photograph
   * @param {import("./view.js").View} view that all panes of the photograph share
   * @param {(index: number | null) => void} onPoint called with what the pointer or the keyboard is at
   */
  constructor(answer, photograph, view, onPoint) {
    Object.assign(this, { answer, view, onPoint, found: [], marks: null, id: `pane-${panesMade++}` });
    this.canvas = make("canvas", { role: "img" });
    this.count = make("span", { class: "soft" });
    this.frame = make("div", { class: "frame", role: "group", tabIndex: 0, "aria-describedby": "zoom-hint" }, this.canvas);
    this.times = make("p", { class: "soft times" });
    this.speed = make("b");
    this.list = make("ul", { class: "objects", role: "listbox", tabIndex: 0, id: this.id });
    this.bars = make("ol", { class: "bars" });
    this.heading = make("h3", {}, answer.variant);
    this.element = make(
      "figure",
      { class: "pane" },
      make("figcaption", {}, this.heading, this.count, this.speed),
      this.frame,
      this.times,
      answer.task === "detection" ? this.list : this.bars,
    );
    this.picture = new Picture(this.canvas, photograph, answer.image, view, onPoint);
    takeGestures(this.frame, this.canvas, view);
    this.list.addEventListener("keydown", (event) => this.walk(event));
    this.list.addEventListener("blur", () => this.onPoint(null));
    this.list.addEventListener("pointerover", (event) => this.onPoint(this.indexOf(event.target)));
    this.list.addEventListener("pointerleave", () => this.onPoint(null));
  }

  /**
   * @param {string} name the file's
   * @param {object[]} found what scores enough, best first
   * @param {object[] | null} marks of boxes.compare, parallel to `found`
   * @param {{pane: Pane, found: object[], marks: object[] | null} | null} other what it is compared with
   */
  show(name, found, marks, other) {
    Object.assign(this, { found, marks });
    const { answer } = this;
    const boxes = found
      .filter(({ box }) => box)
      .map(({ box, label, score }, index) => ({
        box,
        label,
        score,
        colour: classColour(answer.labels, label),
        kind: marks?.[index].kind ?? "same",
      }));
    const missing = other?.marks
      ? other.found.filter((_, index) => other.marks[index].kind === "only").map(({ box }) => box)
      : [];
    this.picture.show(boxes, missing);
    this.frame.setAttribute("aria-label", t("frame_label", { name, variant: answer.variant }));
    this.speed.textContent = t("time_model", { ms: milliseconds(answer.timings_ms.inference) });
    this.times.textContent = this.timing();
    if (answer.task === "detection") this.showObjects(name, other);
    else this.showBars(name, other);
  }

  timing() {
    const { total, ...parts } = this.answer.timings_ms;
    const words = Object.entries(parts)
      .filter(([part, ms]) => ms > 0 && known(`time_part_${part}`))
      .map(([part, ms]) => t(`time_part_${part}`, { ms: milliseconds(ms) }));
    const { view, tiles, left_out: leftOut } = this.answer;
    const seen = view === "tiles" ? t("view_tiles", { count: tiles }) : t("view_whole");
    const lost = leftOut ? ` ${t("left_out", { count: leftOut })}` : "";
    return `${seen} ${t("time_total", { ms: milliseconds(total), parts: words.join(", ") })}${lost}`;
  }

  showObjects(name, other) {
    const { answer, found } = this;
    const below = answer.detections.length - found.length;
    this.count.textContent = t("found", { count: found.length }) + (below ? ` · ${t("hidden", { count: below })}` : "");
    this.canvas.setAttribute(
      "aria-label",
      t("canvas_label", { name, variant: answer.variant, found: t("found", { count: found.length }) }),
    );
    this.list.setAttribute("aria-label", t("boxes_list", { variant: answer.variant }));
    const options = found.map((object, index) =>
      make(
        "li",
        { role: "option", id: `${this.id}-${index}`, "aria-selected": "false" },
        swatch(classColour(answer.labels, object.label)),
        make("span", { class: "label" }, object.label),
        make("span", { class: "score" }, number(object.score, 2)),
        make("span", { class: "soft place" }, place(object.box)),
        this.differs(index, other),
      ),
    );
    this.list.replaceChildren(
      ...(options.length
        ? options
        : [make("li", { class: "soft", role: "option", "aria-disabled": "true" }, t("none_found"))]),
    );
    this.point(null);
  }

  /** What is different about an object, or null. */
  differs(index, other) {
    const mark = this.marks?.[index];
    if (!mark || mark.kind === "same") return null;
    const { variant, detections } = other.pane.answer;
    let words = "";
    if (mark.kind === "moved") words = t("moved_by", { percent: Math.round(100 * mark.iou) });
    if (mark.kind === "label") words = t("label_there", { variant, label: other.found[mark.other].label });
    if (mark.kind === "only") {
      const { box, label } = this.found[index];
      const shown = new Set(other.found);
      const below = detections.find(
        (there) => !shown.has(there) && there.label === label && iou(there.box, box) >= SAME_OBJECT_IOU,
      );
      words = below ? t("only_but", { variant, score: number(below.score, 2) }) : t("only_not");
    }
    return make("span", { class: "differs", data: { kind: mark.kind } }, words);
  }

  showBars(name, other) {
    const { answer } = this;
    const [{ label, score }] = answer.detections;
    this.count.textContent = label;
    this.canvas.setAttribute(
      "aria-label",
      t("canvas_label", { name, variant: answer.variant, found: `${label}, ${number(score, 2)}` }),
    );
    const theirs = new Map(other?.pane.answer.probabilities.map((entry) => [entry.label, entry.score]));
    const sorted = [...answer.probabilities].sort((a, b) => b.score - a.score).slice(0, MOST_BARS);
    this.bars.setAttribute("aria-label", t("probabilities"));
    this.bars.replaceChildren(
      ...sorted.map((entry) => {
        const fill = make("span", { class: "fill" });
        fill.style.width = `${100 * entry.score}%`;
        fill.style.backgroundColor = classColour(answer.labels, entry.label);
        const points = 100 * (entry.score - (theirs.get(entry.label) ?? entry.score));
        const change =
          other && Math.abs(points) >= 0.05 ? ` (${points > 0 ? "+" : "−"}${number(Math.abs(points), 1)})` : "";
        return make(
          "li",
          { class: entry.label === label ? "chosen" : "" },
          make("span", { class: "label" }, entry.label),
          make("span", { class: "track", "aria-hidden": "true" }, fill),
          make(
            "span",
            { class: "score" },
            `${number(100 * entry.score, 1)} %`,
            make("span", { class: "soft" }, change),
          ),
        );
      }),
    );
  }

  /** Bring one object out in the picture and the list, or none with null. */
  point(index) {
    this.picture.point(index);
    this.active = index;
    for (const [place, option] of [...this.list.children].entries())
      option.setAttribute("aria-selected", String(place === index));
    if (index === null) this.list.removeAttribute("aria-activedescendant");
    else this.list.setAttribute("aria-activedescendant", `${this.id}-${index}`);
  }

  /** Move the photograph, where a part of it is seen, so that an object is among that. */
  reveal(index) {
    const [{ width, height }, { box }] = [this.answer.image, this.found[index]];
    this.view.reveal([box[0] / width, box[1] / height, box[2] / width, box[3] / height]);
  }

  indexOf(target) {
    const option = target.closest("li[id]");
    return option ? [...this.list.children].indexOf(option) : null;
  }

  /** Arrow keys, Home and End in the list. */
  walk(event) {
    const last = this.found.length - 1;
    const now = this.active ?? -1;
    const next = { ArrowDown: Math.min(last, now + 1), ArrowUp: Math.max(0, now - 1), Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.onPoint(null);
    if (next === undefined || last < 0) return;
    event.preventDefault();
    this.onPoint(next);
    this.reveal(next);
    this.list.children[next].scrollIntoView({ block: "nearest" });
  }

  close() {
    this.picture.close();
  }
}

const place = ([x1, y1, x2, y2]) =>
  t("place", { x: Math.round(x1), y: Math.round(y1), width: Math.round(x2 - x1), height: Math.round(y2 - y1) });

function swatch(colour) {
  const element = make("span", { class: "swatch", "aria-hidden": "true" });
  element.style.backgroundColor = colour;
  return element;
}
