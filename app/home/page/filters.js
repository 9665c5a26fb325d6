// The filters of a recommendation: categories, one attribute, seen items, items of the training only.

import { changeState, readState } from "./address.js";
import { get, make } from "./dom.js";
import { showProblem } from "./messages.js";

const MAX_CHOICES = 24;
const choices = new Set();

/** Fields of `POST /recommend` for the filters of the address. */
export function buildFilters(state) {
  const fields = {};
  if (state.category.length) fields.categories = state.category;
  const filter = parseCondition(state.where);
  if (filter !== null) fields.filter = filter;
  else if (state.where) throw new Error(`The filter "${state.where}" cannot be read: names of attributes have letters, digits and _.- only.`);
  if (state.seen) fields.exclude_seen = false;
  if (state.known) fields.cold_items = "exclude";
  return fields;
}

/**
 * `price lte 50` as a filter. Without quotes, `size eq 5` matches the number and the text, and so do true and false;
 * `size eq "5"` matches the text only. Quotes also keep the commas of a member of a list.
 */
export function parseCondition(text) {
  const [, attribute, comparison, value] = /^([A-Za-z_][\w.-]*) (lte|gte|eq|contains_any) (.+)$/s.exec(text ?? "") ?? [];
  if (attribute === undefined) return null;
  if (comparison === "contains_any") return { attribute, contains_any: parseMembers(value) };
  const literal = removeQuotes(value);
  const typed = literal === value.trim() ? parseTyped(literal) : literal;
  if (typed === literal || comparison !== "eq") return { attribute, [comparison]: typed };
  return { attribute, in: [typed, literal] };
}

/** The number, true or false that a text spells, else the text. */
function parseTyped(text) {
  if (isNumber(text)) return Number(text);
  return { true: true, false: false }[text] ?? text;
}

const isNumber = (text) => text !== "" && Number.isFinite(Number(text));

function parseMembers(value) {
  const members = value.match(/\s*"[^"]*"\s*(?=,|$)|[^,]+/g) ?? [value];
  return members.map(removeQuotes);
}

const removeQuotes = (text) => text.trim().replace(/^"(.*)"$/s, "$1");

export function startFilters() {
  get("category-add").addEventListener("click", addCategory);
  get("category").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    addCategory();
  });
  get("filter-apply").addEventListener("click", () => {
    const problem = findProblem();
    if (problem !== null) showProblem(new Error(problem));
    else changeState(readFields());
  });
  get("filter-clear").addEventListener("click", () =>
    changeState({ category: [], where: null, seen: false, known: false }));
}

function addCategory() {
  const name = get("category").value.trim();
  if (!name) return;
  get("category").value = "";
  changeState({ ...readFields(), category: [...new Set([...readFields().category, name])] });
}

/** What is wrong with the fields of the attribute; null for nothing. */
function findProblem() {
  const [attribute, bound] = [get("attribute").value.trim(), get("bound").value.trim()];
  if (!attribute !== !bound) return "A filter of an attribute needs its name and a value; fill both, or neither.";
  const isRange = ["lte", "gte"].includes(get("comparison").value);
  if (bound && isRange && !isNumber(bound) && !/^\d{4}-\d\d-\d\d/.test(removeQuotes(bound))) {
    return `"${bound}" is neither a number nor a time; compare with one such as 50 or 2026-11-29.`;
  }
  return null;
}

function readFields() {
  const [attribute, bound] = [get("attribute").value.trim(), get("bound").value.trim()];
  return {
    category: [...get("category-choices").querySelectorAll("input:checked")].map((box) => box.value),
    where: attribute && bound ? `${attribute} ${get("comparison").value} ${bound}` : null,
    seen: get("seen").checked,
    known: get("known").checked,
  };
}

/** Show the filters of the address, and the categories of answers as choices. */
export function showFilters(items = []) {
  const state = readState();
  for (const name of [...state.category, ...items.flatMap((item) => item.categories ?? [])]) {
    if (choices.size < MAX_CHOICES) choices.add(name);
  }
  const names = [...new Set([...state.category, ...choices])].sort();
  const shown = [...get("category-choices").querySelectorAll("input")].map((box) => box.value);
  if (names.join("\0") !== shown.join("\0")) {
    get("category-choices").replaceChildren(get("category-choices").firstElementChild, ...names.map((name) =>
      make("label", { class: "chip" }, make("input", { type: "checkbox", value: name }), name)));
  }
  for (const box of get("category-choices").querySelectorAll("input")) box.checked = state.category.includes(box.value);
  get("seen").checked = state.seen;
  get("known").checked = state.known;
  const [, attribute, comparison, bound] = /^(.*?) (lte|gte|eq|contains_any) (.*)$/s.exec(state.where ?? "") ?? [null, "", "lte", ""];
  get("attribute").value = attribute;
  get("comparison").value = comparison;
  get("bound").value = bound;
  const count = state.category.length + (state.where ? 1 : 0) + (state.seen ? 1 : 0) + (state.known ? 1 : 0);
  get("filter-count").textContent = String(count);
  get("filter-count").hidden = count === 0;
}
