// Numbers, sizes and times as text.

const COUNT = new Intl.NumberFormat("en");
const DAY = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", month: "short", year: "numeric" });
const CLOCK = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export const formatCount = (value) => COUNT.format(value);

export const plural = (count, noun) => `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;

export function formatNumber(value) {
  const size = Math.abs(value);
  return size >= 100 ? COUNT.format(Math.round(value)) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export const formatFigure = (value) => value.toFixed(4);

export const formatShare = (share) => `${Math.round(share * 100)} %`;

export function formatMs(milliseconds) {
  return `${milliseconds < 10 ? milliseconds.toFixed(2) : milliseconds.toFixed(1)} ms`;
}

export const formatSeconds = (seconds) => (seconds < 1 ? formatMs(seconds * 1000) : `${seconds.toFixed(2)} s`);

export function formatBytes(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit && bytes < 10 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

/** How long ago `time` was: a Date, seconds, or an RFC 3339 text. */
export function formatAge(time, now = Date.now()) {
  const start = typeof time === "number" ? time * 1000 : new Date(time).getTime();
  if (!Number.isFinite(start)) return null;
  const minutes = Math.max(0, (now - start) / 60_000);
  if (minutes < 1) return "less than a minute";
  if (minutes < 90) return plural(Math.round(minutes), "minute");
  return minutes < 48 * 60 ? plural(Math.round(minutes / 60), "hour") : plural(Math.round(minutes / 1440), "day");
}

export function formatDay(milliseconds, now = Date.now()) {
  const day = new Date(milliseconds).toDateString();
  if (day === new Date(now).toDateString()) return "Today";
  if (day === new Date(now - 86_400_000).toDateString()) return "Yesterday";
  return DAY.format(milliseconds);
}

export const formatClock = (milliseconds) => CLOCK.format(milliseconds);
