// A part of a photograph with boxes on a canvas, drawn in device pixels at each zoom, so that lines stay sharp.

import { overlap, Room } from "./room.js";
import { number } from "./text.js";

const INK = "#10141a"; // text on a class colour, and the dark edge that keeps a line visible on a bright photograph
const SIGNS = { only: "+", moved: "↔", label: "≠" };
const MOST_ENLARGED = 3; // of a small picture that is seen as a whole
const LARGEST_PIXEL = 8; // CSS pixels that one of the photograph may have

export class Picture {
  /**
   * @param {HTMLCanvasElement} canvas in a block element that says how wide it may be
   * @param {import("./photograph.js").Photograph | null} photograph null where the browser can't decode it
   * @param {{width: number, height: number}} size in the pixels that boxes are told in
   * @param {import("./view.js").View} view what is seen of it
   * @param {(index: number | null) => void} onPoint called with the box under the pointer
   */
  constructor(canvas, photograph, size, view, onPoint) {
    Object.assign(this, { canvas, photograph, size, view, boxes: [], missing: [], active: null, frame: 0 });
    this.widths = new Map(); // of texts: measuring is slow
    this.forget = view.onChange(() => (this.frame ||= requestAnimationFrame(() => this.paint())));
    this.watcher = new ResizeObserver(() => this.paint());
    this.watcher.observe(canvas.parentElement);
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons === 0) onPoint(this.at(event.offsetX, event.offsetY)); // else it drags
    });
    canvas.addEventListener("pointerleave", () => onPoint(null));
  }

  /**
   * @param {{box: number[], colour: string, label: string, score: number, kind: string}[]} boxes best score first
   * @param {number[][]} missing boxes that only the other model has
   */
  show(boxes, missing) {
    Object.assign(this, { boxes, missing });
    this.paint();
  }

  /** Bring one box out, or none with null. */
  point(index) {
    if (index === this.active) return;
    this.active = index;
    this.paint();
  }

  close() {
    this.watcher.disconnect();
    this.forget();
    cancelAnimationFrame(this.frame);
  }

  /** Index of the smallest box around a point in CSS pixels, or null. */
  at(x, y) {
    const scale = this.canvas.width / this.canvas.clientWidth / this.scale; // the photograph's pixels in a CSS pixel
    const [px, py] = [x * scale - this.shiftX / this.scale, y * scale - this.shiftY / this.scale];
    let best = null;
    let smallest = Infinity;
    for (const [
      index,
      {
        box: [x1, y1, x2, y2],
      },
    ] of this.boxes.entries()) {
      const area = (x2 - x1) * (y2 - y1);
      const inside = px >= x1 && px <= x2 && py >= y1 && py <= y2;
      if (inside && area < smallest) [best, smallest] = [index, area];
    }
    return best;
  }

  paint() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const room = this.canvas.parentElement.clientWidth;
    if (room === 0) return;
    const { width, height } = this.size;
    const tallest = Math.max(320, window.innerHeight * 0.75);
    const shownWidth = Math.floor(Math.min(room, (tallest * width) / height, width * MOST_ENLARGED));
    const ratio = window.devicePixelRatio || 1;
    const device = [Math.round(shownWidth * ratio), Math.max(1, Math.round((shownWidth * ratio * height) / width))];
    if (this.canvas.width !== device[0] || this.canvas.height !== device[1]) {
      [this.canvas.width, this.canvas.height] = device;
      this.canvas.style.width = `${shownWidth}px`;
    }
    const { view } = this;
    view.most = Math.max(4, (LARGEST_PIXEL * width) / shownWidth);
    this.canvas.classList.toggle("enlarged", view.zoom > 1);
    const context = this.canvas.getContext("2d");
    if (this.photograph) this.photograph.draw(context, view.left, view.top, 1 / view.zoom);
    else fillGrey(context);
    this.scale = (device[0] / width) * view.zoom; // device pixels in a pixel of the photograph
    this.shiftX = -view.left * device[0] * view.zoom;
    this.shiftY = -view.top * device[1] * view.zoom;
    this.line = Math.max(2, Math.min(2.5, shownWidth / 240)) * ratio;
    this.font = Math.round(12 * ratio);
    this.paintBoxes(context);
  }

  /** Corners of a box on the canvas, in device pixels. */
  place([x1, y1, x2, y2]) {
    const { scale, shiftX, shiftY } = this;
    return [x1 * scale + shiftX, y1 * scale + shiftY, x2 * scale + shiftX, y2 * scale + shiftY];
  }

  /** Whether any of a box is on the canvas. */
  seen(box) {
    return overlap(this.place(box), [0, 0, this.canvas.width, this.canvas.height]);
  }

  paintBoxes(context) {
    const dashes = [this.line * 2.5, this.line * 2];
    for (const box of this.missing) if (this.seen(box)) this.outline(context, box, "#ffffff", this.line, dashes);
    const dim = this.active !== null;
    const shown = [...this.boxes.keys()].filter((index) => this.seen(this.boxes[index].box));
    for (const index of [...shown].reverse()) {
      // The surest on top.
      if (index === this.active) continue;
      const { box, colour, kind } = this.boxes[index];
      context.globalAlpha = dim ? 0.45 : 1;
      this.outline(context, box, colour, this.line * (SIGNS[kind] ? 1.5 : 1));
    }
    context.globalAlpha = 1;
    const room = new Room();
    if (dim && this.active < this.boxes.length) {
      if (!shown.includes(this.active)) return;
      const { box, colour } = this.boxes[this.active];
      this.outline(context, box, colour, this.line * 2);
      this.tag(context, this.boxes[this.active], room, true);
      return;
    }
    for (const index of shown) this.sign(context, this.boxes[index], room);
    for (const index of shown) this.tag(context, this.boxes[index], room, false);
  }

  outline(context, box, colour, width, dashes = []) {
    // A line on the photograph's edge would be half outside it.
    const [x1, y1, x2, y2] = this.place(box);
    const [least, last] = [this.place([0, 0, 0, 0]), this.place([0, 0, this.size.width, this.size.height])];
    const inside = (value, axis) => Math.max(least[axis] + width / 2, Math.min(last[axis + 2] - width / 2, value));
    const [left, top] = [inside(x1, 0), inside(y1, 1)];
    const corner = [left, top, inside(x2, 0) - left, inside(y2, 1) - top];
    context.setLineDash(dashes);
    context.strokeStyle = "rgba(16, 20, 26, 0.55)";
    context.lineWidth = width * 1.8;
    context.strokeRect(...corner);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(...corner);
    context.setLineDash([]);
  }

  /** The sign of a difference, in the box's lower right corner; none where another stands, until it is enlarged. */
  sign(context, { box, kind }, room) {
    if (!SIGNS[kind]) return;
    const radius = this.font * 0.72;
    const [, , right, bottom] = this.place(box);
    const x = Math.min(this.canvas.width - radius, right);
    const y = Math.min(this.canvas.height - radius, bottom);
    if (!room.take([x - radius, y - radius, x + radius, y + radius])) return;
    context.fillStyle = "#ffffff";
    context.strokeStyle = INK;
    context.lineWidth = this.line * 0.7;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
    context.fillStyle = INK;
    context.font = `700 ${this.font}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(SIGNS[kind], x, y + this.font * 0.05);
  }

  measure(context, text) {
    const key = `${this.font} ${text}`;
    if (!this.widths.has(key)) this.widths.set(key, context.measureText(text).width);
    return this.widths.get(key);
  }

  /** Label and score above the box; the score alone, or nothing, where others already stand. */
  tag(context, { box, colour, label, score }, room, always) {
    context.font = `600 ${this.font}px system-ui, sans-serif`;
    context.textAlign = "left";
    context.textBaseline = "middle";
    const figure = number(score, 2);
    const height = this.font * 1.45;
    for (const text of [`${label} ${figure}`, figure]) {
      const width = this.measure(context, text) + this.font * 0.7;
      const [left, top] = this.place(box);
      const x = Math.max(0, Math.min(left - this.line / 2, this.canvas.width - width));
      const y = top >= height ? top - height : Math.max(0, Math.min(top, this.canvas.height - height));
      if (!room.take([x, y, x + width, y + height]) && !always) continue;
      context.fillStyle = colour;
      context.fillRect(x, y, width, height);
      context.fillStyle = INK;
      context.fillText(text, x + this.font * 0.35, y + height * 0.53);
      return;
    }
  }
}

function fillGrey(context) {
  context.fillStyle = "#8a929c";
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
}
