// Elements. Data of the service becomes text and attributes only, never markup.

const SVG = "http://www.w3.org/2000/svg";

export const get = (id) => document.getElementById(id);

/** Create an element; `text` is its text, `onclick` and the like are listeners, null and false are left out. */
export function make(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function makeSvg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "vars") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Show `text` in an element, and hide the element without one. */
export function showText(element, text) {
  element.textContent = text || "";
  element.hidden = !text;
}

/** A bar of `share` (0 to 1); the number next to it says the same. */
export function makeBar(share) {
  const width = Math.max(0, Math.min(1, share)) * 100;
  return make("span", { class: "meter", "aria-hidden": "true" }, make("span", { vars: { "--width": `${width}%` } }));
}

/** Name, value and perhaps class of the entries of a description list; entries without a value are left out. */
export function makeFacts(pairs) {
  return pairs
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value, kind]) => make("div", { class: kind }, make("dt", { text: name }), make("dd", {}, value)));
}

/** A table; its caption is heard only where a heading says the same. */
export function makeTable(caption, heads, rows, { hidesCaption = false } = {}) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col", text })));
  const body = rows.map((cells) =>
    make("tr", {}, ...cells.map((cell, place) => make(place ? "td" : "th", place ? {} : { scope: "row" }, cell ?? "–"))));
  // A table that is wider than a phone scrolls by itself, also by keyboard.
  return make("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": caption },
    make("table", {}, make("caption", { class: hidesCaption && "visually-hidden", text: caption }), make("thead", {}, head), make("tbody", {}, ...body)));
}
