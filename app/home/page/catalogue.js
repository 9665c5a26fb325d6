// Items by id: titles and categories, from answers that have them, else read one by one and kept.

import { call, callOptional, encodeId } from "./api.js";
import { make } from "./dom.js";
import { buildAddress } from "./address.js";
import { watchView } from "./in_view.js";

const MAX_ITEMS = 2000;
const MAX_READS = 6;
const RETRY_MS = 5000;
const items = new Map();
/** Items that could not be read, with the time from which another try is due. */
const failed = new Map();
/** Items that the serving version does not know, so that a read might be answered by 404. */
const unknown = new Set();
/** Most unknown items that an answer lists; with as many, any other item of the history may be unknown too. */
export const MAX_LISTED = 100;
let listsAllUnknown = true;
const waiting = [];
let reads = 0;

export function keepItems(answered) {
  for (const item of answered) if (item.title !== undefined) keep(item.item_id, Promise.resolve(item));
}

/** Forget everything, because another version or key answers. */
export function forgetItems() {
  items.clear();
  failed.clear();
  unknown.clear();
  listsAllUnknown = true;
}

/** Note the unknown items of an answer; their titles are searched for, and only the live catalogue can have them. */
export function noteUnknown(ids) {
  listsAllUnknown = ids.length < MAX_LISTED;
  if (unknown.size + ids.length > MAX_ITEMS) unknown.clear();
  for (const id of ids) unknown.add(id);
}

/** Read an item; one that cannot be read has only its id, and is read again when it is needed a few seconds later. */
export function loadItem(id) {
  if (!items.has(id) || performance.now() >= failed.get(id)) keep(id, readItem(id));
  return items.get(id);
}

export const getTitle = (item) => item.title || item.item_id;

/** A link to an item, which has its id as text until it comes into view and the title is read. */
export function makeItemLink(id, { className = "item-link", title = null } = {}) {
  const link = make("a", {
    class: className, href: buildAddress({ view: "item", item: id, search: null }), "data-view": "item", "data-item": id,
    text: title ?? id,
  });
  if (title !== null) return link;
  const showTitle = async () => { link.textContent = getTitle(await loadItem(id)); };
  if (items.has(id) && !failed.has(id)) showTitle();
  else watchView(link, showTitle);
  return link;
}

/** Categories as chips; the dot's color depends on the name and only decorates it. */
export function makeCategories(categories) {
  return make("span", { class: "categories" }, ...(categories ?? []).slice(0, 6).map((name) =>
    make("span", { class: "category", vars: { "--hue": String(computeHue(name)) }, text: name })));
}

function computeHue(name) {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) % 3600;
  return hash / 10;
}

function keep(id, item) {
  failed.delete(id);
  items.set(id, item);
  if (items.size <= MAX_ITEMS) return;
  const oldest = items.keys().next().value;
  items.delete(oldest);
  failed.delete(oldest);
}

async function readItem(id) {
  if (reads >= MAX_READS) await new Promise((resolve) => waiting.push(resolve));
  reads += 1;
  try {
    const item = unknown.has(id) || !listsAllUnknown ? await findItem(id) : (await call(`items/${encodeId(id)}`)).body;
    return item ?? { item_id: id, title: null, categories: [] };
  } catch (error) {
    if (error.status === 404) listsAllUnknown = false; // an answer may also lack unknown items that were read too late
    if (error.status !== 404 && items.has(id)) failed.set(id, performance.now() + RETRY_MS);
    return { item_id: id, title: null, categories: [] };
  } finally {
    reads -= 1;
    waiting.shift()?.();
  }
}

/** The item of this id by a search, which answers 200 also where there is none; the exact id comes first. */
async function findItem(id) {
  const answer = await callOptional(`items?${new URLSearchParams({ query: id, limit: 1 })}`);
  return answer?.items.find((item) => item.item_id === id);
}
