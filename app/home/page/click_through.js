// Impressions, clicks and conversions by version, from the service's metrics.

import { call } from "./api.js";

const SAMPLE = /^nextup_feedback_total\{(.*)\} (\S+)$/;

/** One row per version, those with most impressions first; a service that keeps its metrics to itself has none. */
export async function readClickThrough() {
  const text = (await call("metrics", undefined, { quiet: true })).body;
  const versions = new Map();
  for (const line of text.split("\n")) {
    const [, labels, value] = SAMPLE.exec(line) ?? [];
    if (labels === undefined) continue;
    const { kind, model_version: version } = parseLabels(labels);
    const row = versions.get(version) ?? { version, impression: 0, click: 0, conversion: 0 };
    row[kind] += Number(value);
    versions.set(version, row);
  }
  return [...versions.values()]
    .map((row) => ({ version: row.version, impressions: row.impression, clicks: row.click, conversions: row.conversion }))
    .sort((left, right) => right.impressions - left.impressions);
}

const parseLabels = (text) =>
  Object.fromEntries([...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
