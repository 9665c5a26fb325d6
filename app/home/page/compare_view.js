// Two versions or placements side by side, for the same user.

import { changeState, readState } from "./address.js";
import { call, callOptional } from "./api.js";
import { getTitle, keepItems, makeCategories, makeItemLink } from "./catalogue.js";
import { get, make, showText } from "./dom.js";
import { formatMs, formatShare, plural } from "./format.js";
import { announce, clearProblem, showProblem } from "./messages.js";
import { computeOverlap, listDepths } from "./overlap.js";

const SERVING = "version:";
const SIDES = ["left", "right"];
const TO_MEMORY = "an experiment or a shadow version brings others into memory";

export function startCompareView() {
  get("compare-query").addEventListener("submit", (event) => {
    event.preventDefault();
    const user = get("compare-user").value.trim();
    changeState({ left: get("left").value, right: get("right").value, k: Number(get("compare-k").value),
      ...(user ? { user, history: null } : {}) });
  });
}

export async function showComparison(state) {
  get("compare-user").value = state.history ? "" : state.user ?? "";
  get("compare-user").placeholder = state.history ? "pasted history" : "user id";
  get("compare-k").value = state.k;
  try {
    const choices = await loadChoices();
    showAbsent(choices);
    const chosen = SIDES.map((side, place) => {
      showChoices(get(side), choices, state[side] ?? (place ? choosePartner(choices) : SERVING));
      return choices.find((choice) => choice.value === get(side).value);
    });
    const answers = await Promise.all(chosen.map((choice) => answer(state, choice)));
    if (readState().view !== "compare") return;
    clearProblem();
    showOverlap(answers, state.k);
    SIDES.forEach((side, place) => showSide(side, chosen[place], answers[place], answers[1 - place]));
    announce(get("overlap").textContent ? `Compared. ${get("overlap").firstElementChild?.getAttribute("aria-label") ?? ""}` : "");
  } catch (error) { showProblem(error); }
}

/** What can be compared with the serving version: another version that is in memory, else a placement. */
function choosePartner(choices) {
  const others = choices.filter((choice) => choice.isReady && choice.value !== SERVING);
  return (others.find((choice) => choice.fields.version) ?? others[0])?.value ?? SERVING;
}

/** The serving version, then other versions in memory, newest first, then the placements, then versions that cannot answer. */
async function loadChoices() {
  const [{ body: models }, placements] = await Promise.all(
    [call("models"), callOptional("placements").catch(() => null)]);
  const versions = models.models.filter((version) => version.version !== models.active).reverse()
    .map(({ version, preset, ready }) => ({ value: `version:${version}`, label: `${version}, ${preset}`,
      group: ready ? "Versions" : "Not in memory", fields: { version }, isReady: ready }));
  return [
    { value: SERVING, label: `${models.active}, serving`, group: "Versions", fields: {}, isReady: true },
    ...versions.filter((version) => version.isReady),
    ...(placements?.placements ?? []).map(({ name }) =>
      ({ value: `placement:${name}`, label: name, group: "Placements", fields: { placement: name }, isReady: true })),
    ...versions.filter((version) => !version.isReady),
  ];
}

function showChoices(select, choices, value) {
  const groups = [...new Set(choices.map((choice) => choice.group))];
  select.replaceChildren(...groups.map((group) => make("optgroup", { label: group }, ...choices
    .filter((choice) => choice.group === group)
    .map((choice) => make("option", { value: choice.value, text: choice.label, disabled: !choice.isReady })))));
  select.value = choices.some((choice) => choice.value === value) ? value : choices[0].value;
}

/** Say how versions that cannot be chosen become available. */
function showAbsent(choices) {
  const count = choices.filter((choice) => !choice.isReady).length;
  showText(get("compare-note"), count && `${plural(count, "stored version")} cannot answer now; ${TO_MEMORY}.`);
}

/** An answer, or the problem of one side: a version that is not in memory does not spoil the other side. */
async function answer(state, choice) {
  if (!choice.isReady) {
    const problem = `version '${choice.fields.version}' is not in memory; ${TO_MEMORY}`;
    return { items: [], timing: null, version: null, problem };
  }
  const request = { k: state.k, include: ["title", "categories"], ...choice.fields };
  if (state.history) request.history = state.history;
  else request.user_id = state.user;
  try {
    const { body, timing } = await call("recommend", request);
    keepItems(body.items);
    return { items: body.items, timing, version: body.model_version, problem: null };
  } catch (error) {
    if (![409, 422].includes(error.status)) throw error;
    return { items: [], timing: null, version: null, problem: error.message };
  }
}

function showOverlap(answers, k) {
  const [left, right] = answers.map(({ items }) => items.map((item) => item.item_id));
  const tiles = answers.some(({ problem }) => problem) ? [] : listDepths(k).reverse().map((depth) => {
    const share = computeOverlap(left, right, depth);
    const text = share === null ? "–" : formatShare(share);
    return make("div", { class: "tile", role: "group", "aria-label": `Overlap at ${depth}: ${text}` },
      make("span", { class: "note", text: `overlap@${depth}` }), make("strong", { text }));
  });
  get("overlap").replaceChildren(...tiles);
}

function showSide(side, choice, own, other) {
  get(`${side}-title`).textContent = choice.label;
  const parts = own.problem ? [own.problem] : [`version ${own.version}`, ...(own.timing ? [formatMs(own.timing.total)] : [])];
  get(`${side}-note`).textContent = parts.join(" · ");
  const ranks = new Map(other.items.map((item, place) => [item.item_id, place + 1]));
  get(`${side}-list`).replaceChildren(...own.items.map((item, place) => {
    const rank = ranks.get(item.item_id);
    const note = rank === undefined ? "only here" : rank === place + 1 ? "same rank" : `rank ${rank} there`;
    return make("li", { class: rank === undefined && !other.problem ? "only" : "", "data-item": item.item_id },
      make("span", { class: "rank", text: String(place + 1) }),
      makeItemLink(item.item_id, { title: getTitle(item) }), makeCategories(item.categories),
      make("span", { class: "note", text: other.problem ? "" : note }));
  }));
}
