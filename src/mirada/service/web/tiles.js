// The images of a job as thumbnails, fetched when they come into view; one opened shows the annotated picture.

import { request } from "./api.js";
import { byId, make } from "./dom.js";
import { showRefusal } from "./messages.js";
import { t } from "./text.js";

const AT_ONCE = 4; // thumbnails being fetched

let job = null;
let tiles = []; // {item, button, image, state}, one an image of the job
let fetching = 0;
let wanted = []; // numbers of images in view whose thumbnail is to be fetched
let urls = []; // of thumbnails, to be given back
let open = null; // number of the image in the viewer
let openUrl = null;

const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) want(Number(target.dataset.n));
  },
  { rootMargin: "200px" },
);

/** Wire the viewer's buttons, once. */
export function prepareTiles() {
  byId("viewer-close").addEventListener("click", () => byId("viewer").close());
  byId("viewer-previous").addEventListener("click", () => step(-1));
  byId("viewer-next").addEventListener("click", () => step(1));
  byId("viewer").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  byId("viewer").addEventListener("close", () => tiles[open]?.button.focus());
}

export function clearTiles() {
  watcher.disconnect();
  for (const url of urls) URL.revokeObjectURL(url);
  [job, tiles, wanted, urls] = [null, [], [], []];
  byId("tiles").replaceChildren();
}

/** All images of a job; those of the same job as before keep their thumbnails. */
export function showTiles(shown) {
  byId("tiles-area").hidden = false;
  if (job?.id !== shown.id) {
    clearTiles();
    tiles = shown.images.map(makeTile);
    byId("tiles").append(...tiles.map(({ item }) => item));
  }
  job = shown;
  updateTiles(job, tiles.keys());
}

/** The images whose numbers are given have changed. */
export function updateTiles(shown, numbers) {
  job = shown;
  for (const n of numbers) updateTile(n);
}

function makeTile({ n, name }) {
  const image = make("img", { alt: "", width: 256, height: 256, hidden: true });
  const state = make("span", { class: "tile-state" });
  const button = make(
    "button",
    { type: "button", class: "tile", data: { n: String(n) } },
    make("span", { class: "thumb" }, image),
    make("span", { class: "tile-name", title: name }, name),
    state,
  );
  button.addEventListener("click", () => view(n));
  return { item: make("li", {}, button), button, image, state };
}

function updateTile(n) {
  const { button, image, state } = tiles[n];
  const { name, state: now, error } = job.images[n];
  state.textContent = error ?? t(`state_${now}`);
  button.dataset.state = now;
  button.disabled = now !== "done";
  button.setAttribute("aria-label", t("tile_label", { name, state: error ?? t(`state_${now}`) }));
  if (now === "done" && !image.src) watcher.observe(button);
}

function want(n) {
  watcher.unobserve(tiles[n].button);
  wanted.push(n);
  fetchNext();
}

async function fetchNext() {
  if (fetching >= AT_ONCE || !wanted.length) return;
  const n = wanted.shift();
  const { id } = job;
  fetching += 1;
  try {
    const url = await picture(id, n, "?thumbnail=true");
    if (job?.id !== id) URL.revokeObjectURL(url);
    else {
      urls.push(url);
      tiles[n].image.src = url;
      tiles[n].image.hidden = false;
    }
  } catch {
    // The tile says that the image is done; the viewer will say why its picture can't be had.
  } finally {
    fetching -= 1;
    fetchNext();
  }
}

/** An address for <img>: made from a request of our own, because an <img> can't send a token. */
async function picture(id, n, query) {
  const response = await request(`v1/jobs/${encodeURIComponent(id)}/images/${n}${query}`);
  return URL.createObjectURL(await response.blob());
}

async function view(n) {
  const viewer = byId("viewer");
  const { name } = job.images[n];
  open = n;
  byId("viewer-title").textContent = name;
  byId("viewer-place").textContent = t("viewer_place", { n: n + 1, total: job.images.length });
  byId("viewer-image").alt = t("annotated", { name });
  byId("viewer-image").hidden = true;
  byId("viewer-previous").disabled = neighbour(-1) === null;
  byId("viewer-next").disabled = neighbour(1) === null;
  if (!viewer.open) viewer.showModal();
  try {
    const url = await picture(job.id, n, "");
    if (open !== n || !viewer.open) {
      URL.revokeObjectURL(url);
      return;
    }
    if (openUrl) URL.revokeObjectURL(openUrl);
    openUrl = url;
    byId("viewer-image").src = url;
    byId("viewer-image").hidden = false;
  } catch (error) {
    viewer.close();
    showRefusal(error, { name, retry: () => view(n) });
  }
}

/** The next image that is done, in a direction, or null. */
function neighbour(direction) {
  for (let n = open + direction; n >= 0 && n < tiles.length; n += direction) {
    if (job.images[n].state === "done") return n;
  }
  return null;
}

function step(direction) {
  const n = neighbour(direction);
  if (n !== null) view(n);
}
