// The history next to the recommendations: of the store by day, or the pasted one.

import { call, encodeId } from "./api.js";
import { get, make } from "./dom.js";
import { plural } from "./format.js";
import { DAYS_PER_STEP, groupByDay, makeDays, makePasted } from "./timeline.js";

let days = [];
let count = DAYS_PER_STEP;
let turn = 0;

export function startHistoryPanel() {
  get("older").addEventListener("click", () => {
    const first = count;
    count += DAYS_PER_STEP;
    showDays();
    get("timeline").children[first]?.querySelector("summary").focus();
  });
}

/** Show the history of a state; `noted` settles when the unknown items are known, whose titles are not read by id. */
export async function showHistory(state, noted) {
  const own = ++turn;
  if (state.history) {
    await noted;
    if (own !== turn) return;
    get("history-note").textContent = `${plural(state.history.length, "item")}, pasted, newest first`;
    get("timeline").replaceChildren(makePasted(state.history));
    get("older").hidden = true;
    return;
  }
  let events;
  try {
    ({ events } = (await call(`users/${encodeId(state.user)}/history`)).body);
    await noted;
  } catch (error) {
    if (own === turn) showUnread(error);
    return;
  }
  if (own !== turn) return;
  days = groupByDay(events);
  count = DAYS_PER_STEP;
  get("history-note").textContent = events.length
    ? `${plural(events.length, "event")} on ${plural(days.length, "day")}, newest first` : "no events yet";
  showDays();
}

/** A history that cannot be read does not hide the recommendations, which the service has without it. */
function showUnread(error) {
  get("history-note").textContent = `not read: ${error.message}`;
  get("timeline").replaceChildren();
  get("older").hidden = true;
}

function showDays() {
  get("timeline").replaceChildren(...makeDays(days, count));
  if (!days.length) {
    get("timeline").append(make("p", { class: "empty", text: "Popular items are recommended until the first event." }));
  }
  get("older").hidden = days.length <= count;
}
