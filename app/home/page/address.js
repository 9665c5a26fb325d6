// The state of the page is in its address: the query, and the fragment for a pasted history, which is not sent.

const MAX_PASTED = 500;
const LISTS = ["category"];
const listeners = new Set();

export const VIEWS = ["recommend", "item", "compare", "live", "experiments"];

export function readState() {
  const query = new URLSearchParams(location.search);
  const fragment = new URLSearchParams(location.hash.slice(1));
  const history = fragment.getAll("h").slice(-MAX_PASTED);
  const view = query.get("view");
  return {
    view: VIEWS.includes(view) ? view : "recommend",
    user: query.get("user"),
    k: Math.min(100, Math.max(1, Math.trunc(Number(query.get("k"))) || 10)),
    item: query.get("item"),
    search: query.get("search"),
    category: query.getAll("category").slice(0, 20),
    where: query.get("where"),
    seen: query.get("seen") === "1",
    known: query.get("known") === "1",
    left: query.get("left"),
    right: query.get("right"),
    history: history.length ? history : null,
  };
}

/** The address of the current state with `changes`, relative to the page. */
export function buildAddress(changes) {
  const state = { ...readState(), ...changes };
  const query = new URLSearchParams();
  if (state.view !== "recommend") query.set("view", state.view);
  for (const name of ["user", "item", "search", "where", "left", "right"]) if (state[name]) query.set(name, state[name]);
  if (state.k !== 10) query.set("k", state.k);
  for (const name of LISTS) for (const value of state[name]) query.append(name, value);
  for (const name of ["seen", "known"]) if (state[name]) query.set(name, "1");
  const fragment = new URLSearchParams((state.history ?? []).slice(-MAX_PASTED).map((id) => ["h", id]));
  return `${query.size ? `?${query}` : "."}${fragment.size ? `#${fragment}` : ""}`;
}

/** Change the state; `replace` leaves no entry for the back button. */
export function changeState(changes, { replace = false, quiet = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", buildAddress(changes));
  if (!quiet) notify();
}

export function watchState(listener) { listeners.add(listener); }

function notify() {
  const state = readState();
  for (const listener of listeners) listener(state);
}

addEventListener("popstate", notify);

/** Follow links of the page without a load; other keys and buttons keep what they do in a browser. */
export function followLinks(root) {
  root.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-view]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    changeState({ view: link.dataset.view, ...(link.dataset.item ? { item: link.dataset.item, search: null } : {}) });
  });
}
