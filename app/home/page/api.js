// Calls of the REST API, with the key of this tab and the server's own times.

const KEY = "nextup-key";
let keptKey = "";
try { keptKey = sessionStorage.getItem(KEY) ?? ""; } catch { /* storage is off: the key lives as long as the page */ }
let onKeyProblem = () => {};

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const hasKey = () => keptKey !== "";

export function setKey(key) {
  keptKey = key;
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch { /* see above */ }
}

/** `listener` is called when the service asks for a key, or for another one. */
export function watchKeyProblems(listener) { onKeyProblem = listener; }

/** Call the API and return `{ body, timing }`; a Problem has the status and the service's own words, and asks for a key unless `quiet`. */
export async function call(path, body, { signal, quiet = false } = {}) {
  const headers = {};
  if (keptKey) headers.authorization = `Bearer ${keptKey}`;
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The service does not answer; check that it runs, then try again.");
  }
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  const answer = await (isJson ? response.json() : response.text());
  if (!response.ok) {
    if (!quiet && [401, 403].includes(response.status)) onKeyProblem(response.status);
    throw new Problem(response.status, answer.detail ?? response.statusText);
  }
  return { body: answer, timing: parseServerTiming(response.headers.get("server-timing")) };
}

/** Call and return the body; null if this service does not have it, so that the part is hidden. */
export async function callOptional(path, body) {
  try {
    return (await call(path, body)).body;
  } catch (error) {
    if ([404, 405, 501].includes(error.status)) return null;
    throw error;
  }
}

/** Stages of `Server-Timing` and their sum in milliseconds; null without the header. */
export function parseServerTiming(header) {
  const stages = [...(header ?? "").matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, name, ms]) => ({ name, ms: Number(ms) }));
  return stages.length ? { stages, total: stages.reduce((sum, stage) => sum + stage.ms, 0) } : null;
}

/** An id as a segment of a path; browsers resolve `.` and `..` there, encoded or not, and would call another path. */
export function encodeId(id) {
  if (id === "." || id === "..") throw new Problem(404, `The id "${id}" cannot be part of an address; no new event or item has it.`);
  return encodeURIComponent(id);
}
