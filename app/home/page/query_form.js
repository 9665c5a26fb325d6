// The form of the recommendation view: user, number of items, a random user, a pasted history.

import { changeState, readState } from "./address.js";
import { get } from "./dom.js";
import { announce, showProblem } from "./messages.js";
import { chooseUser } from "./users.js";

const MAX_PASTED = 500;

export function startQueryForm() {
  get("query").addEventListener("submit", (event) => {
    event.preventDefault();
    const user = get("user").value.trim();
    if (!user && !readState().history) {
      showProblem(new Error("Type a user, or paste a history."));
      return;
    }
    changeState({ user: user || null, k: Number(get("k").value), history: user ? null : readState().history });
  });
  get("surprise").addEventListener("click", async () => {
    try {
      const user = await chooseUser(readState().user);
      if (user === null) announce("There are no users yet.");
      else changeState({ user, history: null });
    } catch (error) { showProblem(error); }
  });
  get("paste-use").addEventListener("click", () => {
    const ids = parseIds(get("pasted").value);
    if (!ids.length) showProblem(new Error("Paste at least one item id."));
    else changeState({ history: ids });
  });
  get("paste-clear").addEventListener("click", () => {
    get("pasted").value = "";
    changeState({ history: null });
  });
}

/** Ids of lines; in a single line, of commas. Of a JSON list, its texts. At most the newest 500. */
export function parseIds(text) {
  const trimmed = text.trim();
  let ids = trimmed.includes("\n") ? trimmed.split("\n") : trimmed.split(",");
  if (trimmed.startsWith("[")) {
    try { ids = JSON.parse(trimmed).map((entry) => String(entry?.item_id ?? entry)); } catch { /* lines, then */ }
  }
  return ids.map((id) => id.trim()).filter((id) => id && id.length <= 128).slice(-MAX_PASTED);
}

export function showQuery(state) {
  if (document.activeElement !== get("user")) get("user").value = state.history ? "" : state.user ?? "";
  get("user").placeholder = state.history ? "pasted history" : "user id";
  get("k").value = state.k;
  if (state.history) {
    if (!get("pasted").value) get("paste").open = true;
    get("pasted").value = state.history.join("\n");
  }
  get("paste-clear").hidden = !state.history;
}
