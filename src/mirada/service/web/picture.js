// A picture with boxes on a canvas, as many device pixels as it has room for, so that lines stay sharp.

import { number } from "./text.js";

const INK = "#10141a"; // text on a class colour, and the dark edge that keeps a line visible on a bright photograph
const SIGNS = { only: "+", moved: "↔", label: "≠" };
const MOST_ENLARGED = 3;

export class Picture {
  /**
   * @param {HTMLCanvasElement} canvas in a block element that says how wide it may be
   * @param {CanvasImageSource | null} image null where the browser can't decode it
   * @param {{width: number, height: number}} size in the pixels that boxes are told in
   * @param {(index: number | null) => void} onPoint called with the box under the pointer
   */
  constructor(canvas, image, size, onPoint) {
    Object.assign(this, { canvas, image, size, boxes: [], missing: [], active: null });
    this.watcher = new ResizeObserver(() => this.paint());
    this.watcher.observe(canvas.parentElement);
    canvas.addEventListener("pointermove", (event) => onPoint(this.at(event.offsetX, event.offsetY)));
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
  }

  /** Index of the smallest box around a point in CSS pixels, or null. */
  at(x, y) {
    const scale = this.size.width / this.canvas.clientWidth;
    let best = null;
    let smallest = Infinity;
    for (const [
      index,
      {
        box: [x1, y1, x2, y2],
      },
    ] of this.boxes.entries()) {
      const area = (x2 - x1) * (y2 - y1);
      const inside = x * scale >= x1 && x * scale <= x2 && y * scale >= y1 && y * scale <= y2;
      if (inside && area < smallest) [best, smallest] = [index, area];
    }
    return best;
  }

  paint() {
    const room = this.canvas.parentElement.clientWidth;
    if (room === 0) return;
    const { width, height } = this.size;
    const tallest = Math.max(320, window.innerHeight * 0.75);
    const shownWidth = Math.floor(Math.min(room, (tallest * width) / height, width * MOST_ENLARGED));
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(shownWidth * ratio);
    this.canvas.height = Math.max(1, Math.round((shownWidth * ratio * height) / width));
    this.canvas.style.width = `${shownWidth}px`;
    const context = this.canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    if (this.image) context.drawImage(this.image, 0, 0, this.canvas.width, this.canvas.height);
    else fillGrey(context);
    this.scale = this.canvas.width / width;
    this.line = Math.max(2, Math.min(2.5, shownWidth / 240)) * ratio;
    this.font = Math.round(12 * ratio);
    this.paintBoxes(context);
  }

  paintBoxes(context) {
    for (const box of this.missing) this.outline(context, box, "#ffffff", this.line, [this.line * 2.5, this.line * 2]);
    const dim = this.active !== null;
    const order = this.boxes.map((_, index) => index).reverse(); // the surest on top
    for (const index of order) {
      if (index === this.active) continue;
      const { box, colour, kind } = this.boxes[index];
      context.globalAlpha = dim ? 0.45 : 1;
      this.outline(context, box, colour, this.line * (SIGNS[kind] ? 1.5 : 1));
    }
    context.globalAlpha = 1;
    const taken = [];
    if (dim && this.active < this.boxes.length) {
      const { box, colour } = this.boxes[this.active];
      this.outline(context, box, colour, this.line * 2);
      this.tag(context, this.boxes[this.active], taken, true);
      return;
    }
    for (const shown of this.boxes) this.sign(context, shown, taken);
    for (const shown of this.boxes) this.tag(context, shown, taken, false);
  }

  outline(context, [x1, y1, x2, y2], colour, width, dashes = []) {
    // A line on the picture's edge would be half outside it.
    const inside = (value, end) => Math.max(width / 2, Math.min(end - width / 2, value * this.scale));
    const [left, top] = [inside(x1, this.canvas.width), inside(y1, this.canvas.height)];
    const corner = [left, top, inside(x2, this.canvas.width) - left, inside(y2, this.canvas.height) - top];
    context.setLineDash(dashes);
    context.strokeStyle = "rgba(16, 20, 26, 0.55)";
    context.lineWidth = width * 1.8;
    context.strokeRect(...corner);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(...corner);
    context.setLineDash([]);
  }

  /** The sign of a difference, in the box's lower right corner. */
  sign(context, { box, kind }, taken) {
    if (!SIGNS[kind]) return;
    const radius = this.font * 0.72;
    const x = Math.min(this.canvas.width - radius, box[2] * this.scale);
    const y = Math.min(this.canvas.height - radius, box[3] * this.scale);
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
    taken.push([x - radius, y - radius, x + radius, y + radius]);
  }

  /** Label and score above the box; the score alone, or nothing, where others already stand. */
  tag(context, { box, colour, label, score }, taken, always) {
    context.font = `600 ${this.font}px system-ui, sans-serif`;
    context.textAlign = "left";
    context.textBaseline = "middle";
    const figure = number(score, 2);
    const height = this.font * 1.45;
    for (const text of [`${label} ${figure}`, figure]) {
      const width = context.measureText(text).width + this.font * 0.7;
      const x = Math.max(0, Math.min(box[0] * this.scale - this.line / 2, this.canvas.width - width));
      const above = box[1] * this.scale - height;
      const y = above >= 0 ? above : Math.min(box[1] * this.scale, this.canvas.height - height);
      const place = [x, y, x + width, y + height];
      if (!always && taken.some((other) => overlap(place, other))) continue;
      taken.push(place);
      context.fillStyle = colour;
      context.fillRect(x, y, width, height);
      context.fillStyle = INK;
      context.fillText(text, x + this.font * 0.35, y + height * 0.53);
      return;
    }
  }
}

const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

function fillGrey(context) {
  context.fillStyle = "#8a929c";
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
}
