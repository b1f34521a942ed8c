// What is taken on a canvas by signs and labels, so that none covers another.

const CELL = 96; // pixels: a label lies in few cells, and a cell holds few labels

export class Room {
  constructor() {
    this.cells = new Map();
  }

  /** Take a place [x1, y1, x2, y2] where it is free; whether it was. */
  take(place) {
    const keys = cellsOf(place);
    if (keys.some((key) => this.cells.get(key)?.some((other) => overlap(place, other)))) return false;
    for (const key of keys) {
      if (this.cells.has(key)) this.cells.get(key).push(place);
      else this.cells.set(key, [place]);
    }
    return true;
  }
}

/** Whether two places share more than a border. */
export const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

function cellsOf(place) {
  const [left, top, right, bottom] = place.map((value) => Math.floor(value / CELL));
  const keys = [];
  for (let y = top; y <= bottom; y += 1) for (let x = left; x <= right; x += 1) keys.push(y * 65536 + x);
  return keys;
}
