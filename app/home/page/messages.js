// One place for problems, and one polite announcement per action for screen readers.

import { get, showText } from "./dom.js";

let timer = 0;

/** Announce a result; the text is removed later, so that readers of the page do not meet it again. */
export function announce(text) {
  const region = get("announcement");
  region.textContent = text;
  clearTimeout(timer);
  timer = setTimeout(() => { region.textContent = ""; }, 10_000);
}

export function showProblem(error) {
  if (error.name === "AbortError") return;
  showText(get("problem"), error.message);
}

export function clearProblem() { showText(get("problem"), ""); }
