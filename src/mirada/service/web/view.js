// Which part of a photograph is seen: one for all panes that show it, so that they move together.

const STEP = 1.5; // a press of + or −
const SHIFT = 0.15; // of what is seen, a press of an arrow

export class View {
  /** The whole photograph; `zoom` is 1 then, x and y are the middle of what is seen, in shares of the sides. */
  constructor() {
    Object.assign(this, { zoom: 1, x: 0.5, y: 0.5, most: 4 });
    this.listeners = new Set();
  }

  /** Call `again` when another part is seen; gives a function that ends it. */
  onChange(again) {
    this.listeners.add(again);
    return () => this.listeners.delete(again);
  }

  get left() {
    return this.x - 0.5 / this.zoom;
  }

  get top() {
    return this.y - 0.5 / this.zoom;
  }

  /** Enlarge by a factor, so that the point at (u, v), shares of what is seen, stays where it is. */
  enlarge(factor, u = 0.5, v = 0.5) {
    const zoom = Math.min(this.most, Math.max(1, this.zoom * factor));
    const grown = 1 / this.zoom - 1 / zoom;
    this.set(zoom, this.x + grown * (u - 0.5), this.y + grown * (v - 0.5));
  }

  /** Move by shares of what is seen; positive shows what is further right and below. */
  shift(u, v) {
    this.set(this.zoom, this.x + u / this.zoom, this.y + v / this.zoom);
  }

  reset() {
    this.set(1, 0.5, 0.5);
  }

  /** See to it that a box, in shares of the sides, is seen. */
  reveal([x1, y1, x2, y2]) {
    const half = 0.5 / this.zoom;
    const seen = x1 >= this.x - half && x2 <= this.x + half && y1 >= this.y - half && y2 <= this.y + half;
    if (!seen) this.set(this.zoom, (x1 + x2) / 2, (y1 + y2) / 2);
  }

  /** What a key does, or nothing: whether it was one of those that move. */
  press(key) {
    const moves = { ArrowLeft: [-SHIFT, 0], ArrowRight: [SHIFT, 0], ArrowUp: [0, -SHIFT], ArrowDown: [0, SHIFT] };
    if (key === "+" || key === "=") this.enlarge(STEP);
    else if (key === "-" || key === "−") this.enlarge(1 / STEP);
    else if (key === "0") this.reset();
    else if (moves[key] && this.zoom > 1) this.shift(...moves[key]);
    else return false;
    return true;
  }

  set(zoom, x, y) {
    const half = 0.5 / zoom;
    const [cx, cy] = [x, y].map((middle) => Math.min(1 - half, Math.max(half, middle))); // nothing beyond the border
    if (zoom === this.zoom && cx === this.x && cy === this.y) return;
    Object.assign(this, { zoom, x: cx, y: cy });
    for (const again of this.listeners) again();
  }
}
