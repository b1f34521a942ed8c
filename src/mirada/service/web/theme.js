// Before anything is painted: the theme that was chosen, else the system's. Everything else waits for app.js.
"use strict";
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("mirada-theme");
  } catch {
    // Storage may be forbidden: the system's theme then.
  }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}
