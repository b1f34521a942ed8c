// Boxes [x1, y1, x2, y2] in pixels: their overlap, and which of two models' boxes are the same object.

export const SAME_OBJECT_IOU = 0.5; // as mAP50 counts
export const MOVED_IOU = 0.8; // boxes of one object that share less have moved

// The classes' colours of mirada.palette, so that a class looks the same here and in the annotated pictures.
const COLOURS = ["#2ea3f2", "#ffb000", "#26c485", "#be78ff", "#ff8c5a", "#00c9d6", "#e0d63c", "#ff82c8"];

/** The colour of a class, by its place among the model's labels. */
export const classColour = (labels, label) => COLOURS[Math.max(0, labels.indexOf(label)) % COLOURS.length];

const area = ([x1, y1, x2, y2]) => Math.max(0, x2 - x1) * Math.max(0, y2 - y1);

/** Intersection over union of two boxes, 0..1. */
export function iou(a, b) {
  const shared = area([Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])]);
  const joint = area(a) + area(b) - shared;
  return joint > 0 ? shared / joint : 0;
}

/**
 * Pair two lists of {label, score, box}, best overlap first; boxes of one label before boxes of two.
 *
 * Each object gets one mark, in lists parallel to the given ones: {kind, iou, other} with kind "same", "moved" (one
 * label, little overlap), "label" (another label there) or "only" (no such object in the other list), and `other`, an
 * index of it, or null.
 */
export function compare(left, right) {
  const marks = [left.map(only), right.map(only)];
  const pairs = [];
  for (const [i, a] of left.entries()) {
    for (const [j, b] of right.entries()) {
      const overlap = iou(a.box, b.box);
      if (overlap >= SAME_OBJECT_IOU) pairs.push({ i, j, overlap, alike: a.label === b.label });
    }
  }
  pairs.sort((a, b) => b.alike - a.alike || b.overlap - a.overlap);
  for (const { i, j, overlap, alike } of pairs) {
    if (marks[0][i].other !== null || marks[1][j].other !== null) continue;
    const kind = !alike ? "label" : overlap < MOVED_IOU ? "moved" : "same";
    marks[0][i] = { kind, iou: overlap, other: j };
    marks[1][j] = { kind, iou: overlap, other: i };
  }
  return marks;
}

const only = () => ({ kind: "only", iou: 0, other: null });

/** How many marks there are of each kind. */
export function tally(marks) {
  const counts = { same: 0, only: 0, moved: 0, label: 0 };
  for (const { kind } of marks) counts[kind] += 1;
  return counts;
}
