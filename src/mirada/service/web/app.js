// The page: which of its three views is shown, where files go, theme and token. Each view is a module of its own.

import { askTokenWith, getJson, hasToken, setToken } from "./api.js";
import { byId } from "./dom.js";
import { isArchive, takeFiles } from "./files.js";
import { leaveJobs, openJob, prepareJobs, sendJob, showJobs } from "./jobs.js";
import { hideMessage, prepareMessages, showMistake, showRefusal } from "./messages.js";
import { prepareModel, showModels } from "./model.js";
import { chosen, look, preparePredict, useModel } from "./predict.js";
import { languageSwitch, onLanguage, t } from "./text.js";
import { prepareTiles } from "./tiles.js";

const VIEWS = ["images", "jobs", "model"];

/** The view and what follows it in the address: #jobs/<id>. */
function address() {
  const [view, id = null] = location.hash.slice(1).split("/");
  return VIEWS.includes(view) ? [view, id] : ["images", null];
}

function route(moved) {
  const [view, id] = address();
  for (const name of VIEWS) byId(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  title();
  if (moved) hideMessage();
  leaveJobs();
  if (view === "jobs") showJobs(id).catch((error) => showRefusal(error));
  if (view === "model") loadModels();
  if (moved) {
    byId("main").focus({ preventScroll: true });
    if (id === null) window.scrollTo(0, 0);
    else byId("job").scrollIntoView({ block: "nearest" });
  }
}

function title() {
  document.title = `${t(`nav_${address()[0]}`)} – Mirada`;
}

async function loadModels() {
  try {
    const { models } = await getJson("v1/models");
    showModels(models);
    if (models.length) useModel(models[0]);
  } catch (error) {
    showRefusal(error, { retry: loadModels });
  }
}

async function take(files) {
  const many = files.length > 1;
  if (many && files.some(isArchive)) {
    showMistake("one_archive");
    return;
  }
  if (address()[0] !== "images") location.hash = "images";
  if (many || isArchive(files[0])) openJob(await sendJob(files, await chosen()));
  else await look(files[0]);
}

function prepareTheme() {
  const button = byId("theme");
  const root = document.documentElement;
  const show = () => button.setAttribute("aria-pressed", String(root.dataset.theme === "dark"));
  show();
  button.addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    show();
    try {
      localStorage.setItem("mirada-theme", root.dataset.theme);
    } catch {
      // Then it holds until the page is loaded again.
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ({ matches }) => {
    try {
      if (localStorage.getItem("mirada-theme")) return;
    } catch {
      // Nothing was chosen that could have been kept.
    }
    root.dataset.theme = matches ? "dark" : "light";
    show();
  });
}

function prepareToken() {
  const dialog = byId("token-dialog");
  byId("token-cancel").addEventListener("click", () => dialog.close(""));
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault(); // the address must never hold it
    dialog.close(byId("token").value.trim());
  });
  dialog.addEventListener("cancel", () => (dialog.returnValue = ""));
  askTokenWith(
    (wrong) =>
      new Promise((resolve) => {
        byId("token-text").textContent = t(wrong ? "token_wrong" : "token_ask");
        byId("token").value = "";
        dialog.returnValue = "";
        dialog.addEventListener(
          "close",
          () => {
            byId("token").value = "";
            byId("forget").hidden = !dialog.returnValue;
            resolve(dialog.returnValue || null);
            dialog.returnValue = "";
          },
          { once: true },
        );
        dialog.showModal();
      }),
  );
  byId("forget").hidden = !hasToken();
  byId("forget").addEventListener("click", () => {
    setToken(null);
    byId("forget").hidden = true;
  });
}

prepareTheme();
prepareToken();
prepareMessages();
preparePredict();
prepareJobs();
prepareTiles();
prepareModel();
onLanguage(title);
onLanguage(() => (byId("drop").dataset.over = t("drop_now")));
languageSwitch(byId("language"));
takeFiles((files) => take(files).catch((error) => showRefusal(error)), showMistake);
window.addEventListener("hashchange", () => route(true));
route(false);
if (address()[0] !== "model") loadModels();
