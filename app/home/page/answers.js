// Requests of the recommendation view: an answer, its next page, and events.

import { call } from "./api.js";
import { buildFilters } from "./filters.js";

const INCLUDE = ["title", "categories"];

/** The request of a state; `hidden` are item ids to leave out. */
export function buildRequest(state, { explain, hidden }) {
  const request = { k: state.k, paginate: true, include: INCLUDE, ...buildFilters(state) };
  if (state.history) request.history = state.history;
  else request.user_id = state.user;
  if (explain) request.explain = true;
  if (hidden.length) request.exclude = hidden;
  return request;
}

export const requestAnswer = (request, options) => call("recommend", request, options);

/** The next page repeats what a cursor does not remember: history, filters and exclusions. */
export function requestNextPage(request, cursor) {
  const { paginate, k, user_id, exclude_seen, ...repeated } = request;
  return call("recommend", { ...repeated, cursor });
}

/** An id that makes an event take effect once, also if it is sent again. */
function makeEventId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `page-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * Store the choice of an item. It has no type, so that it enters every history; with `counts` the same event is sent
 * as a click too, which is counted and not stored twice.
 */
export async function sendChoice(user, item, { recommendation, position, counts }) {
  const event = { user_id: user, item_id: item, event_id: makeEventId() };
  if (recommendation) Object.assign(event, { recommendation_id: recommendation, position });
  const events = counts && recommendation ? [event, { ...event, type: "click" }] : [event];
  return (await call("events", { events })).body.results[0];
}

export function sendImpressions(user, answer, first) {
  const events = answer.items.map((item, place) => ({
    user_id: user, item_id: item.item_id, type: "impression", recommendation_id: answer.recommendation_id,
    position: first + place, event_id: makeEventId(),
  }));
  return events.length ? call("events", { events }) : null;
}
