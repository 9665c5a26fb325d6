// The recommendation view: an answer as cards, and what an action changes in it.

import { changeState, readState } from "./address.js";
import { buildRequest, requestAnswer, requestNextPage, sendChoice, sendImpressions } from "./answers.js";
import { makeCards } from "./cards.js";
import { MAX_LISTED, getTitle, keepItems, noteUnknown } from "./catalogue.js";
import { compareRanks, describeChanges } from "./changes.js";
import { get, make, showText } from "./dom.js";
import { showFilters, startFilters } from "./filters.js";
import { formatMs, plural } from "./format.js";
import { showHistory, startHistoryPanel } from "./history_panel.js";
import { announce, clearProblem, showProblem } from "./messages.js";
import { replaceEntries } from "./motion.js";
import { showQuery, startQueryForm } from "./query_form.js";

const REASONS = {
  unknown_user: "this user has no history", no_known_items: "the model knows no item of the history",
  overloaded: "the service is overloaded", model_unavailable: "the model is away",
  store_unavailable: "Redis is away", damaged_history: "the stored history is damaged",
  no_eligible_items: "the filters leave no item",
};
const hidden = new Map();
let shown = { items: [], request: null, answer: null, firsts: new Map() };
let turn = 0;
let isActing = false;

export function startRecommendView() {
  startQueryForm();
  startFilters();
  startHistoryPanel();
  get("more").addEventListener("click", () => void showNextPage());
  get("explain").addEventListener("change", () => void showRecommendations(readState()));
}

/** Show the answer for a state; `after` continues an action: the list moves, and `sentence` opens its announcement. */
export async function showRecommendations(state, after = null) {
  const own = ++turn;
  showQuery(state);
  showFilters(shown.items);
  get("cards").setAttribute("aria-busy", "true");
  try {
    const request = buildRequest(state, { explain: get("explain").checked, hidden: [...hidden.keys()] });
    const minimum = after?.version ? { min_history_version: after.version } : {};
    const answered = requestAnswer({ ...request, ...minimum });
    const noted = answered.then(({ body }) => noteUnknown(body.unknown_items), () => {});
    const [{ body: answer, timing }] = await Promise.all([answered, showHistory(state, noted)]);
    if (own !== turn) return;
    clearProblem();
    const before = shown.items;
    showAnswer(answer, request, after ? compareRanks(before, answer.items) : new Map(), after !== null);
    showOutcome(answer, timing);
    announce(after ? `${after.sentence} ${describeChanges(compareRanks(before, answer.items), answer.items)}`
      : `${plural(answer.items.length, "recommendation")} for ${state.history ? "the pasted history" : state.user}.`);
    countImpressions(state, answer, 1);
  } catch (error) {
    if (own === turn) showProblem(error);
  } finally {
    if (own === turn) get("cards").removeAttribute("aria-busy");
  }
}

function showAnswer(answer, request, changes, animates) {
  keepItems(answer.items);
  shown = { items: answer.items, request, answer, firsts: new Map() };
  for (const item of answer.items) shown.firsts.set(item.item_id, answer.recommendation_id);
  replaceEntries(get("cards"), buildCards(changes), { animates });
  showFilters(answer.items);
  get("more").hidden = !answer.next_cursor;
  showText(get("no-cards"), answer.items.length ? "" : "No item is left; clear some filters.");
  showHidden();
}

const buildCards = (changes) =>
  makeCards(shown.items, { changes, explains: get("explain").checked, actions: { choose, hide } });

/** Who answered, why, how fast the service was by its own clock, and which version. */
function showOutcome(answer, timing) {
  const reason = answer.reason ? ` (${REASONS[answer.reason] ?? answer.reason})` : "";
  const parts = [`by ${answer.served_by}${reason}`];
  if (timing) parts.push(`${formatMs(timing.total)} in the service`);
  if (answer.experiment) parts.push(`experiment ${answer.experiment.name}: ${answer.experiment.variant}`);
  const unknown = answer.unknown_items.length;
  if (unknown) parts.push(`${unknown < MAX_LISTED ? "" : "at least "}${plural(unknown, "unknown item")} in the history`);
  if (answer.explained_by === "unsupported") parts.push("this answer has no explanation");
  const stages = timing?.stages.map(({ name, ms }) => make("span", { class: "stage" }, `${name} ${formatMs(ms)}`)) ?? [];
  get("outcome").replaceChildren(parts.join(" · "), ...stages);
}

async function choose(item, rank) {
  await act(async () => {
    const state = readState();
    const title = getTitle(item);
    if (state.history) {
      changeState({ history: [...state.history, item.item_id] }, { replace: true, quiet: true });
      await showRecommendations(readState(), { sentence: `${title} joined the pasted history.` });
      return;
    }
    const result = await sendChoice(state.user, item.item_id,
      { recommendation: shown.firsts.get(item.item_id), position: rank, counts: get("feedback").checked });
    if (result.status === "invalid" || result.status === "failed") throw new Error(result.detail ?? "The event was not stored.");
    await showRecommendations(state, { version: result.history_version, sentence: `${title} joined the history of ${state.user}.` });
  });
}

async function hide(item) {
  await act(async () => {
    hidden.set(item.item_id, getTitle(item));
    await showRecommendations(readState(), { sentence: `${getTitle(item)} is hidden.` });
  });
}

/** Run one action at a time; a second press while one runs is ignored, and no button loses the focus. */
async function act(action) {
  if (isActing) return;
  isActing = true;
  try { await action(); } catch (error) { showProblem(error); } finally { isActing = false; }
}

function showHidden() {
  const note = get("hidden-items");
  note.hidden = hidden.size === 0;
  note.replaceChildren(`${plural(hidden.size, "hidden item")} `,
    make("button", { type: "button", class: "quiet", text: "Show again", onclick: () => act(async () => {
      hidden.clear();
      get("answer-title").tabIndex = -1;
      get("answer-title").focus();
      await showRecommendations(readState(), { sentence: "Hidden items are back." });
    }) }));
}

async function showNextPage() {
  await act(async () => {
    const { body: answer, timing } = await requestNextPage(shown.request, shown.answer.next_cursor);
    keepItems(answer.items);
    const first = shown.items.length;
    shown.items = [...shown.items, ...answer.items];
    shown.answer = answer;
    for (const item of answer.items) shown.firsts.set(item.item_id, answer.recommendation_id);
    replaceEntries(get("cards"), buildCards(new Map()));
    get("more").hidden = !answer.next_cursor;
    get("cards").children[first]?.querySelector("a").focus();
    showOutcome(answer, timing);
    announce(`${plural(answer.items.length, "more item")}, ${shown.items.length} in all.`);
    countImpressions(readState(), answer, first + 1);
  });
}

function countImpressions(state, answer, first) {
  if (!get("feedback").checked || state.history) return;
  Promise.resolve(sendImpressions(state.user, answer, first)).catch(showProblem);
}
