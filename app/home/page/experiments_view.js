// Experiments with their variants, and the click-through of each version.

import { readState } from "./address.js";
import { call, encodeId } from "./api.js";
import { readClickThrough } from "./click_through.js";
import { get, make, makeSvg, makeTable } from "./dom.js";
import { formatAge, formatCount, formatShare } from "./format.js";
import { clearProblem, showProblem } from "./messages.js";

export async function showExperiments() {
  try {
    const { experiments } = (await call("experiments")).body;
    const results = await Promise.all(experiments.map(({ name }) =>
      call(`experiments/${encodeId(name)}`).then((answer) => answer.body)));
    const counted = await readClickThrough().catch(() => null);
    if (readState().view !== "experiments") return;
    clearProblem();
    const empty = make("p", { class: "empty", text: "No experiment yet; PUT /experiments/{name} starts one." });
    get("experiments-body").replaceChildren(...(results.length ? results.reverse().map(makeExperiment) : [empty]));
    get("click-through").replaceChildren(...(counted?.length ? [makeClickThrough(counted)] : []));
  } catch (error) { showProblem(error); }
}

function makeExperiment(experiment) {
  const since = `${experiment.phase}, started ${formatAge(experiment.started_at)} ago`;
  const note = experiment.winner ? `${since}, winner ${experiment.winner}` : since;
  const figures = new Map(experiment.figures.map((figure) => [figure.name, figure]));
  const widest = Math.max(0.01, ...experiment.figures.map((figure) => figure.click_through?.high ?? 0));
  const rows = experiment.variants.map((variant) => {
    const figure = figures.get(variant.name);
    return [variant.name, formatShare(variant.share), variant.version ?? variant.placement ?? "serving",
      variant.ready ? "yes" : variant.problem ?? "not yet", figure && formatCount(figure.answers_shown),
      figure && formatCount(figure.answers_clicked), figure?.click_through && makeInterval(figure.click_through, widest)];
  });
  const { status, best, detail } = experiment.clicks;
  const verdict = best ? `${best} is better than all others.` : detail ?? { undecided: "Undecided so far." }[status] ?? "";
  return make("section", { class: "panel" },
    make("div", { class: "heading" }, make("h3", { text: experiment.name }), make("p", { class: "note", text: note })),
    makeTable(`Variants of ${experiment.name}`, ["variant", "users", "version", "ready", "shown", "clicked", "click-through"], rows,
      { hidesCaption: true }),
    make("p", { class: "note", text: verdict }));
}

/** A rate with its interval, as a line on a scale from 0 and in words. */
function makeInterval({ value, low, high }, top) {
  const scale = (share) => ((Math.max(0, share) / top) * 100).toFixed(1);
  const text = `${(value * 100).toFixed(1)} % (${(low * 100).toFixed(1)} to ${(high * 100).toFixed(1)})`;
  return make("span", { class: "with-bar" },
    makeSvg("svg", { class: "interval", viewBox: "0 0 100 10", "aria-hidden": "true", preserveAspectRatio: "none" },
      makeSvg("line", { x1: scale(low), x2: scale(high), y1: 5, y2: 5 }),
      makeSvg("line", { class: "value", x1: scale(value), x2: scale(value), y1: 0, y2: 10 })), text);
}

function makeClickThrough(versions) {
  const rows = versions.map(({ version, impressions, clicks, conversions }) => [version, formatCount(impressions),
    formatCount(clicks), formatCount(conversions), impressions ? `${((clicks / impressions) * 100).toFixed(1)} %` : null]);
  return make("section", { class: "panel" },
    makeTable("Click-through by version since the start of the processes",
      ["version", "impressions", "clicks", "conversions", "click-through"], rows));
}
