// The form for an API key, which is shown once the service asks for one.

import { hasKey, setKey, watchKeyProblems } from "./api.js";
import { get } from "./dom.js";

/** `onKey` is called with each new key; a key is forgotten together with all that it has shown. */
export function startKeyForm(onKey) {
  const form = get("key");
  const value = get("key-value");
  const note = get("key-note");
  form.hidden = !hasKey();
  watchKeyProblems((status) => {
    form.hidden = false;
    note.textContent = status === 403
      ? "This key lacks a scope that the page needs here: read to look, write to choose items."
      : hasKey() ? "The service does not know this key." : "This service needs an API key. It is kept for this tab only.";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(value.value.trim());
    value.value = "";
    note.textContent = "Kept for this tab only.";
    onKey();
  });
  get("key-clear").addEventListener("click", () => {
    setKey("");
    location.replace(location.pathname); // without the user of the address, and with an empty page
  });
}
