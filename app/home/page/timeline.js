// The history by day, newest first; days are folded, and titles are read when their events come into view.

import { makeItemLink } from "./catalogue.js";
import { make } from "./dom.js";
import { formatClock, formatDay, plural } from "./format.js";

export const DAYS_PER_STEP = 14;
const OPEN_EVENTS = 4;

/** Group events (oldest first, as the service has them) by local day, newest first. */
export function groupByDay(events) {
  const days = [];
  for (const event of [...events].reverse()) {
    const key = new Date(event.timestamp).toDateString();
    if (days.at(-1)?.key !== key) days.push({ key, timestamp: event.timestamp, events: [] });
    days.at(-1).events.push(event);
  }
  return days;
}

/** The first `count` days; the newest ones are open until a few events show. */
export function makeDays(days, count) {
  let shown = 0;
  return days.slice(0, count).map((day) => {
    const opens = shown < OPEN_EVENTS;
    shown += day.events.length;
    return makeDay(day, opens);
  });
}

function makeDay(day, opens) {
  const list = make("ol", { class: "events" });
  const details = make("details", { class: "day", open: opens },
    make("summary", {}, make("span", { text: formatDay(day.timestamp) }),
      make("span", { class: "note", text: plural(day.events.length, "event") })), list);
  const fillOnce = () => {
    if (details.open && !list.children.length) list.append(...day.events.map(makeEvent));
  };
  details.addEventListener("toggle", fillOnce);
  fillOnce();
  return details;
}

function makeEvent(event) {
  return make("li", {},
    make("time", { datetime: new Date(event.timestamp).toISOString(), text: formatClock(event.timestamp) }),
    event.item_id === null
      ? make("span", { class: "note", text: "an item that is no longer known" })
      : makeItemLink(event.item_id));
}

/** A pasted history has no times. */
export function makePasted(ids) {
  return make("ol", { class: "events pasted" }, ...[...ids].reverse().map((id) => make("li", {}, makeItemLink(id))));
}
