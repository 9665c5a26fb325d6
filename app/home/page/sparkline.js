// A series as a small line with its area; the text next to it has the newest value.

import { makeSvg } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 48;
const EDGE = 2;

/** Lines of `series`, each a list of numbers or null, on one scale from 0; `label` says the same in words. */
export function makeSparkline(series, label) {
  const values = series.flat().filter(Number.isFinite);
  const top = Math.max(...values, 0) || 1;
  const svg = makeSvg("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": label });
  series.forEach((points, place) => {
    for (const run of splitAtGaps(points)) {
      const path = run.map(([at, value]) => `${scaleX(at, points.length)},${scaleY(value, top)}`);
      if (place === 0) {
        const [start, end] = [run[0][0], run.at(-1)[0]].map((at) => `${scaleX(at, points.length)},${HEIGHT}`);
        svg.append(makeSvg("polygon", { class: "area", points: [start, ...path, end].join(" ") }));
      }
      svg.append(makeSvg("polyline", { class: `line line-${place}`, points: path.join(" "), "vector-effect": "non-scaling-stroke" }));
    }
  });
  return svg;
}

const scaleX = (at, count) => ((at / Math.max(1, count - 1)) * WIDTH).toFixed(1);

const scaleY = (value, top) => (HEIGHT - EDGE - (value / top) * (HEIGHT - 2 * EDGE)).toFixed(1);

/** Runs of `[place, value]` without the unknown values between them. */
function splitAtGaps(points) {
  const runs = [[]];
  points.forEach((value, at) => {
    if (Number.isFinite(value)) runs.at(-1).push([at, value]);
    else if (runs.at(-1).length) runs.push([]);
  });
  return runs.filter((run) => run.length);
}
