// The strip under the header: serving version, preset, age, and its offline figures next to the baselines'.

import { call, callOptional } from "./api.js";
import { get, make, makeFacts } from "./dom.js";
import { formatAge, formatCount, formatFigure } from "./format.js";

const FIGURE = "ndcg@10";

export async function showModel() {
  const [models, overview] = await Promise.all([
    call("models").then((answer) => answer.body),
    callOptional("overview").catch(() => null),
  ]);
  const model = models.models.find((version) => version.active) ?? { version: models.active };
  const figures = overview?.figures?.model ?? model.figures ?? {};
  const baselines = overview?.figures?.baselines ?? {};
  const age = model.created ? formatAge(model.created) : null;
  const loaded = overview?.loaded_at ? formatAge(overview.loaded_at) : null;
  get("model").replaceChildren(...makeFacts([
    ["version", make("code", { text: model.version })],
    ["preset", model.preset],
    ["items", model.num_items ? formatCount(model.num_items) : null, "extra"],
    ["trained", age && `${age} ago`],
    ["serving for", loaded, "extra"],
    [FIGURE.toUpperCase(), figures[FIGURE] === undefined ? null : makeFigures(figures[FIGURE], baselines)],
  ]));
  return models;
}

/** The figure of the model and of each baseline, the best baseline first. */
function makeFigures(figure, baselines) {
  const others = Object.entries(baselines)
    .map(([name, value]) => [name, typeof value === "object" && value !== null ? value[FIGURE] : value])
    .filter(([, value]) => Number.isFinite(value))
    .sort(([, left], [, right]) => right - left)
    .map(([name, value]) => make("span", { class: "baseline", text: `${name} ${formatFigure(value)}` }));
  return make("span", { class: "figures" }, make("strong", { text: formatFigure(figure) }), ...others);
}
