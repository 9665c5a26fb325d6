// One item: its data, its popularity, its neighbors, and the items that follow it.

import { readState } from "./address.js";
import { sendChoice } from "./answers.js";
import { call, callOptional, encodeId } from "./api.js";
import { getTitle, keepItems, makeCategories, makeItemLink } from "./catalogue.js";
import { get, make, makeBar, makeFacts } from "./dom.js";
import { formatCount, formatNumber, formatShare, plural } from "./format.js";
import { announce, clearProblem, showProblem } from "./messages.js";
import { showSearch } from "./item_search.js";

const NEIGHBORS = 10;
const UNTRAINED = "The serving version was not trained on this item, so it has no neighbors and no followers yet.";
let shownItem = null;

export async function showItem(state) {
  void showSearch(state);
  if (!state.item) {
    get("item-title").textContent = "Items";
    get("item-body").replaceChildren(make("p", { class: "empty", text: "Search for an item, or follow the title of one." }));
    shownItem = null;
    return;
  }
  try {
    const path = `items/${encodeId(state.item)}`;
    const { body: item } = await call(path);
    const [similar, followers] = isTrained(item) ? await Promise.all([
      callOptional("similar", { item_id: state.item, k: NEIGHBORS, include: ["title", "categories"] }).catch(() => null),
      callOptional(`${path}/followers?k=${NEIGHBORS}`).catch(() => null),
    ]) : [null, null];
    if (readState().item !== state.item) return;
    clearProblem();
    if (similar) keepItems(similar.items);
    get("item-title").textContent = getTitle(item);
    get("item-body").replaceChildren(makeAbout(item, followers, state.user), isTrained(item)
      ? make("div", { class: "pair" }, makeNeighbors(similar), makeFollowers(followers))
      : make("p", { class: "empty", text: UNTRAINED }));
    if (shownItem !== null && shownItem !== item.item_id) get("item-title").focus();
    shownItem = item.item_id;
  } catch (error) {
    get("item-title").textContent = state.item;
    get("item-body").replaceChildren(make("p", { class: "empty", text: error.status === 404
      ? "Neither the model nor the live catalogue has this item." : "" }));
    if (error.status !== 404) showProblem(error);
  }
}

/** An item that only the live catalogue has is in no ranking of the training, and `/similar` does not know it. */
const isTrained = (item) => item.rank !== null;

function makeAbout(item, followers, user) {
  const popularity = followers?.popularity;
  const rank = popularity?.rank ?? item.rank;
  const total = popularity?.items ? ` of ${formatCount(popularity.items)}` : "";
  const attributes = Object.entries(item.attributes ?? {}).map(([name, value]) =>
    [name, Array.isArray(value) ? value.join(", ") : String(value)]);
  const button = user && make("button", { type: "button", class: "primary", text: `Choose for ${user}`,
    onclick: () => void choose(user, item) });
  return make("div", { class: "panel about-item" },
    makeCategories(item.categories),
    make("dl", { class: "facts" }, ...makeFacts([
      ["id", make("code", { text: item.item_id })],
      ["popularity", rank ? `rank ${formatCount(rank)}${total}` : "not in the training"],
      ["events in training", formatCount(popularity?.events ?? item.count)],
      ["available", item.available ? "yes" : "no, in no answer"],
      ...attributes,
    ])), button);
}

async function choose(user, item) {
  try {
    const result = await sendChoice(user, item.item_id, {});
    if (result.status !== "stored") throw new Error(result.detail ?? `The event is ${result.status}.`);
    announce(`${getTitle(item)} joined the history of ${user}.`);
    clearProblem();
  } catch (error) { showProblem(error); }
}

function makeNeighbors(similar) {
  if (!similar?.items.length) return null;
  return makeRanking("Neighbors", "by the cosine of their vectors", similar.items.map((item) => [
    makeItemLink(item.item_id, { title: getTitle(item) }), item.score, formatNumber(item.score)]));
}

function makeFollowers(followers) {
  if (!followers?.followers.length) return null;
  const top = Math.max(...followers.followers.map((entry) => entry.weight));
  const isShare = top <= 1;
  return makeRanking("Often next", `the ${plural(followers.followers.length, "item")} that follow most`,
    followers.followers.map((entry) => [makeItemLink(entry.item_id), top > 0 ? entry.weight / top : 0,
      isShare ? formatShare(entry.weight) : formatNumber(entry.weight)]));
}

function makeRanking(title, note, rows) {
  return make("section", { "aria-label": title },
    make("div", { class: "heading" }, make("h3", { text: title }), make("p", { class: "note", text: note })),
    make("ol", { class: "rows" }, ...rows.map(([link, share, text]) =>
      make("li", {}, link, makeBar(share), make("span", { class: "weight", text })))));
}
