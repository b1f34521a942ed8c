// Files that come in: chosen, dropped anywhere on the page, or pasted.

import { byId } from "./dom.js";
import { t } from "./text.js";

/**
 * @param {(files: File[]) => void} onFiles
 * @param {(key: string) => void} onMistake with the key of what was wrong
 */
export function takeFiles(onFiles, onMistake) {
  const input = byId("files");
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // the same file may be chosen twice
    if (files.length) onFiles(files);
  });
  byId("choose").addEventListener("click", () => input.click());
  takeDropped(onFiles, onMistake);
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return; // text, into a field perhaps
    event.preventDefault();
    onFiles(files.map(named));
  });
}

function takeDropped(onFiles, onMistake) {
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  let leaving = null;
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    clearTimeout(leaving);
    document.body.classList.add("dragging");
  });
  // Each element that the pointer leaves says so, the page itself too: what counts is that no dragover follows.
  document.addEventListener("dragleave", () => {
    clearTimeout(leaving);
    leaving = setTimeout(() => document.body.classList.remove("dragging"), 100);
  });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    document.body.classList.remove("dragging");
    const folder = [...event.dataTransfer.items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
    const files = [...event.dataTransfer.files];
    if (folder) onMistake("no_folders");
    else if (!files.length) onMistake("nothing_chosen");
    else onFiles(files);
  });
}

/** Browsers call every pasted picture image.png. */
const named = (file) =>
  file.name === "image.png" ? new File([file], `${t("pasted_image")}.png`, { type: file.type }) : file;

/** Whether a file is to be sent as an archive; what it really is, the service finds out. */
export const isArchive = (file) => /\.zip$/i.test(file.name) || /^application\/(x-)?zip/.test(file.type);
