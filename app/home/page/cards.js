// Recommendations as cards: rank, title, categories, score, what the item rests on, and actions.

import { formatChange } from "./changes.js";
import { getTitle, makeCategories, makeItemLink } from "./catalogue.js";
import { make, makeBar } from "./dom.js";
import { formatNumber, formatShare } from "./format.js";

const MIN_WEIGHT = 0.005;

/** Cards of `items`; `changes` marks those that moved, `actions` are `{ choose, hide }`, called with item and rank. */
export function makeCards(items, { changes = new Map(), explains = true, actions }) {
  const scores = items.map((item) => item.score);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  const share = (score) => (high > low ? 0.08 + (0.92 * (score - low)) / (high - low) : 1);
  return items.map((item, place) =>
    makeCard(item, place + 1, share(item.score), { change: changes.get(item.item_id), explains, actions }));
}

function makeCard(item, rank, share, { change, explains, actions }) {
  const title = getTitle(item);
  const kind = change && change.kind !== "same" ? change.kind : null;
  return make("li", { class: `card${kind ? ` ${kind}` : ""}`, "data-item": item.item_id },
    make("span", { class: "rank" }, make("span", { class: "visually-hidden", text: "rank " }), String(rank)),
    make("div", { class: "about" },
      make("h3", {}, makeItemLink(item.item_id, { title })),
      kind && makeChange(change),
      makeCategories(item.categories)),
    make("div", { class: "score" },
      make("span", { class: "visually-hidden", text: "score " }), make("span", { text: formatNumber(item.score) }), makeBar(share)),
    explains && makeReasons(item),
    make("div", { class: "actions" },
      makeAction("choose", "Choose", `Choose ${title}`, () => actions.choose(item, rank)),
      makeAction("hide", "Hide", `Hide ${title}`, () => actions.hide(item))));
}

function makeChange(change) {
  const { text, label } = formatChange(change);
  return make("span", { class: "change" },
    make("span", { "aria-hidden": "true", text }), make("span", { class: "visually-hidden", text: label }));
}

const makeAction = (action, text, label, onclick) =>
  make("button", { type: "button", "data-action": action, "aria-label": label, text, onclick });

/** The history items that the item rests on, with their weights, else the most similar one. */
function makeReasons(item) {
  const reasons = (item.because ?? []).filter((reason) => reason.weight >= MIN_WEIGHT);
  if (reasons.length) {
    return make("p", { class: "reasons" }, make("span", { class: "note", text: "because of" }),
      ...reasons.map((reason) => make("span", { class: "reason" },
        makeItemLink(reason.item_id), makeBar(reason.weight), make("span", { class: "weight", text: formatShare(reason.weight) }))));
  }
  if (!item.nearest) return null;
  return make("p", { class: "reasons" }, make("span", { class: "note", text: "most like" }),
    make("span", { class: "reason" }, makeItemLink(item.nearest.item_id),
      make("span", { class: "weight", text: `similarity ${formatNumber(item.nearest.similarity)}` })));
}
