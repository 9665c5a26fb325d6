// How a list differs from the one before, as marks of its cards and as one sentence.

import { getTitle } from "./catalogue.js";

const MAX_TITLES = 3;

/** Map of item id to `{ kind: "new" }`, `{ kind: "up" | "down", by }` or `{ kind: "same" }`. */
export function compareRanks(before, after) {
  const ranks = new Map(before.map((item, place) => [item.item_id, place]));
  return new Map(after.map((item, place) => {
    const rank = ranks.get(item.item_id);
    if (rank === undefined) return [item.item_id, { kind: "new" }];
    if (rank === place) return [item.item_id, { kind: "same" }];
    return [item.item_id, { kind: rank > place ? "up" : "down", by: Math.abs(rank - place) }];
  }));
}

/** One sentence: new items, the largest rise, and how many items moved. */
export function describeChanges(changes, items) {
  const titles = (kept) => kept.slice(0, MAX_TITLES).map(getTitle).join(", ") +
    (kept.length > MAX_TITLES ? ` and ${kept.length - MAX_TITLES} more` : "");
  const isKind = (kind) => items.filter((item) => changes.get(item.item_id)?.kind === kind);
  const [fresh, up, down] = ["new", "up", "down"].map(isKind);
  if (!fresh.length && !up.length && !down.length) return "The list is unchanged.";
  const parts = [];
  if (fresh.length) parts.push(`New: ${titles(fresh)}.`);
  if (up.length) {
    const best = up.reduce((top, item) => (changes.get(item.item_id).by > changes.get(top.item_id).by ? item : top));
    parts.push(`${up.length} up, ${getTitle(best)} the most, by ${changes.get(best.item_id).by}.`);
  }
  if (down.length) parts.push(`${down.length} down.`);
  return parts.join(" ");
}

export function formatChange(change) {
  if (change.kind === "new") return { text: "new", label: "new in the list" };
  const arrow = change.kind === "up" ? "▲" : "▼";
  return { text: `${arrow} ${change.by}`, label: `${change.kind} by ${change.by}` };
}
