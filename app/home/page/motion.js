// Moves the entries of a list from their old places to their new ones, and keeps the focus at its place.

const DURATION_MS = 420;

/** Replace the entries of `list`; an entry is the same as before if `data-item` is. */
export function replaceEntries(list, entries, { animates = false } = {}) {
  const before = new Map([...list.children].map((entry) => [entry.dataset.item, entry.getBoundingClientRect()]));
  const focus = findFocus(list);
  list.replaceChildren(...entries);
  restoreFocus(list, focus);
  if (animates && !matchMedia("(prefers-reduced-motion: reduce)").matches) animate(entries, before);
}

/** The focused action: of which item, which action, and at which place of the list. */
function findFocus(list) {
  const focused = document.activeElement;
  const entry = focused && list.contains(focused) ? focused.closest("li[data-item]") : null;
  if (entry === null || entry === undefined) return null;
  return { item: entry.dataset.item, action: focused.dataset.action, place: [...list.children].indexOf(entry) };
}

/** An item that left the list passes the focus to the same action of the item that is now at its place. */
function restoreFocus(list, focus) {
  if (focus === null || !list.children.length) return;
  const entries = [...list.children];
  const entry = entries.find((other) => other.dataset.item === focus.item)
    ?? entries[Math.min(focus.place, entries.length - 1)];
  const selector = focus.action ? `[data-action="${focus.action}"]` : "a, button";
  (entry.querySelector(selector) ?? entry.querySelector("a, button"))?.focus({ preventScroll: true });
}

function animate(entries, before) {
  const timing = { duration: DURATION_MS, easing: "cubic-bezier(.2,.7,.2,1)" };
  for (const entry of entries) {
    const from = before.get(entry.dataset.item);
    if (from === undefined) {
      entry.animate([{ opacity: 0, transform: "scale(.96)" }, { opacity: 1, transform: "none" }], timing);
      continue;
    }
    const to = entry.getBoundingClientRect();
    const [x, y] = [from.left - to.left, from.top - to.top];
    if (x || y) entry.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], timing);
  }
}
