// Search in the catalogue by title and id.

import { changeState, readState } from "./address.js";
import { callOptional } from "./api.js";
import { keepItems, makeCategories, makeItemLink } from "./catalogue.js";
import { get, make, showText } from "./dom.js";
import { plural } from "./format.js";
import { announce, showProblem } from "./messages.js";

const MATCHES = 24;
const PAUSE_MS = 200;
let turn = 0;
let shownQuery = null;

export function startItemSearch() {
  let timer = 0;
  get("search").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    void search(get("search-text").value.trim(), true);
  });
  get("search-text").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => void search(get("search-text").value.trim(), false), PAUSE_MS);
  });
}

export async function showSearch(state) {
  if (document.activeElement !== get("search-text")) get("search-text").value = state.search ?? "";
  if ((state.search ?? "") !== (shownQuery ?? "")) await search(state.search ?? "", false);
}

/** Show matches; a service without search opens the item of this id instead. */
async function search(query, isSubmitted) {
  const own = ++turn;
  shownQuery = query;
  changeState({ search: query || null }, { replace: true, quiet: true });
  if (!query) { get("matches").hidden = true; return; }
  try {
    const answer = await callOptional(`items?${new URLSearchParams({ query, limit: MATCHES })}`);
    if (own !== turn) return;
    if (answer === null) {
      if (isSubmitted) changeState({ item: query, search: null });
      return;
    }
    keepItems(answer.items);
    get("matches").hidden = false;
    const note = answer.items.length ? `${plural(answer.items.length, "item")}${answer.complete ? "" : ", and perhaps more"}` : "";
    showText(get("matches-note"), note || "no item has this text in its title or id");
    get("match-list").replaceChildren(...answer.items.map((item) => make("li", { "data-item": item.item_id },
      makeItemLink(item.item_id, { title: item.title || item.item_id }), makeCategories(item.categories))));
    if (isSubmitted) announce(get("matches-note").textContent);
  } catch (error) { showProblem(error); }
}
