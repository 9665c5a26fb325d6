// The last five minutes of the service, from GET /overview, read again every two seconds while the view is open.

import { readState } from "./address.js";
import { callOptional } from "./api.js";
import { get, make, makeBar, makeFacts, makeTable } from "./dom.js";
import { formatBytes, formatCount, formatNumber, formatSeconds, formatShare } from "./format.js";
import { clearProblem, showProblem } from "./messages.js";
import { makeSparkline } from "./sparkline.js";

const PERIOD_MS = 2000;
let timer = 0;

export async function showLive() {
  clearTimeout(timer);
  if (readState().view !== "live") return;
  let continues = true;
  try {
    if (!document.hidden) continues = await refresh();
    if (continues) clearProblem();
  } catch (error) {
    showProblem(error);
    continues = ![401, 403].includes(error.status);
  }
  clearTimeout(timer);
  if (continues) timer = setTimeout(() => void showLive(), PERIOD_MS);
}

async function refresh() {
  const overview = await callOptional("overview");
  if (overview === null) {
    get("live-body").replaceChildren(make("p", { class: "empty", text: "This service has no overview; see its metrics." }));
    return false;
  }
  get("live-note").textContent = "all workers, the last five minutes";
  const focused = get("live-body").contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  get("live-body").replaceChildren(makeTiles(overview), make("div", { class: "pair" },
    makeSources(overview.served_by), makeRedis(overview.redis), makeMemory(overview.memory)));
  if (focused) get("live-body").querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  return true;
}

function makeTiles({ requests_per_second: rate, latency_seconds: latency, batch_size: batch, series }) {
  const seconds = (value) => (Number.isFinite(value) ? formatSeconds(value) : "–");
  return make("div", { class: "tiles" },
    makeTile("requests per second", Number.isFinite(rate) ? formatNumber(rate) : "–", [series?.requests_per_second]),
    makeTile("p50", seconds(latency?.p50), [series?.p50]),
    makeTile("p99", seconds(latency?.p99), [series?.p99]),
    Number.isFinite(batch) && makeTile("requests per batch", formatNumber(batch), []));
}

function makeTile(name, text, series) {
  const kept = series.filter((points) => points?.some(Number.isFinite));
  return make("div", { class: "tile", role: "group", "aria-label": name },
    make("span", { class: "note", text: name }), make("strong", { text }),
    kept.length ? makeSparkline(kept, `${name} in steps of five seconds; over the last five minutes ${text}`) : null);
}

/** Which source answered: the model, its cache, neighbors or popular items. */
function makeSources(servedBy) {
  const sources = Object.entries(servedBy ?? {}).filter(([, value]) => Number.isFinite(value));
  const total = sources.reduce((sum, [, value]) => sum + value, 0);
  if (!total) return null;
  return make("section", { class: "panel" }, make("h3", { text: "Who answered" }),
    make("ol", { class: "rows" }, ...sources.sort(([, left], [, right]) => right - left).map(([name, value]) =>
      make("li", {}, make("span", { text: name }), makeBar(value / total),
        make("span", { class: "weight", text: formatShare(value / total) })))));
}

function makeRedis(redis) {
  const facts = makeFacts([
    ["users", Number.isFinite(redis?.users) ? formatCount(redis.users) : null],
    ["per user", Number.isFinite(redis?.bytes_per_user) ? formatBytes(redis.bytes_per_user) : null],
  ]);
  return facts.length ? make("section", { class: "panel" }, make("h3", { text: "Redis" }), make("dl", { class: "facts" }, ...facts)) : null;
}

/** Memory by part, next to what it would be without compression. */
function makeMemory(memory) {
  const parts = (memory ?? []).filter((part) => Number.isFinite(part.bytes));
  if (!parts.length) return null;
  const rows = parts.map(({ part, bytes, uncompressed_bytes: whole }) => {
    const isSmaller = Number.isFinite(whole) && whole > 0;
    return [part, formatBytes(bytes), isSmaller ? formatBytes(whole) : null,
      isSmaller ? make("span", { class: "with-bar" }, makeBar(bytes / whole), formatShare(bytes / whole)) : null];
  });
  return make("section", { class: "panel wide" },
    makeTable("Memory of the model by part", ["part", "bytes", "uncompressed", "share"], rows));
}
