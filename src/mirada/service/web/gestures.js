// Mouse, fingers and keys over a picture, as changes of its view.

const WHEEL = 0.0022; // of a pixel that the wheel turned: a notch of a mouse is 100 or so
const DOUBLE = 2;

/**
 * @param {HTMLElement} frame takes the keys
 * @param {HTMLCanvasElement} canvas takes pointers
 * @param {import("./view.js").View} view
 */
export function takeGestures(frame, canvas, view) {
  const fingers = new Map(); // pointers that are down, by id: where they were last
  const share = (x, y) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return [(x - left) / width, (y - top) / height];
  };
  canvas.addEventListener(
    "wheel",
    (event) => {
      if (event.deltaY > 0 && view.zoom === 1) return; // the page scrolls on
      event.preventDefault();
      const pixels = event.deltaMode === 1 ? event.deltaY * 30 : event.deltaY; // Firefox counts lines
      const strength = event.ctrlKey ? 4 : 1; // two fingers on a touch pad
      view.enlarge(Math.exp(-WHEEL * strength * pixels), ...share(event.clientX, event.clientY));
    },
    { passive: false },
  );
  canvas.addEventListener("dblclick", (event) => view.enlarge(DOUBLE, ...share(event.clientX, event.clientY)));
  // One finger scrolls the page while all is seen, and the picture when it is not; two never zoom the page.
  const own = (event) => (event.touches.length > 1 || view.zoom > 1) && event.cancelable && event.preventDefault();
  canvas.addEventListener("touchstart", own, { passive: false });
  canvas.addEventListener("touchmove", own, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    canvas.setPointerCapture(event.pointerId);
    canvas.classList.toggle("held", view.zoom > 1);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = [...fingers.values()];
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    follow(before, [...fingers.values()], share, view);
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(kind, (event) => {
      fingers.delete(event.pointerId);
      canvas.classList.remove("held");
    });
  }
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (view.press(event.key)) event.preventDefault();
  });
}

/** One finger drags; of two, what lies between them stays between them. */
function follow(before, after, share, view) {
  const [from, to] = [middle(before), middle(after)].map((point) => share(...point));
  if (before.length > 1) {
    const [was, now] = [apart(before), apart(after)];
    if (was > 0 && now > 0) view.enlarge(now / was, ...from);
  }
  view.shift(from[0] - to[0], from[1] - to[1]);
}

const middle = (points) => [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
const apart = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]);
