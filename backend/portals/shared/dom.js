/** Elements without markup strings: nothing here parses HTML, so nothing that a person typed can become markup. */

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "open"]);

/** An element. `on...` attributes are listeners; null and false leave an attribute or child out. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) put(element, key, value);
  element.append(...flat(children));
  return element;
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) put(element, key, value);
  element.append(...flat(children));
  return element;
}

/** Puts these in place of whatever a node holds. */
export function fill(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

function put(element, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
  else if (PROPERTIES.has(key)) element[key] = value;
  else element.setAttribute(key, value === true ? "" : String(value));
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

let numbered = 0;

/** An id that no other element has. */
export function freshId(prefix = "id") {
  numbered += 1;
  return `${prefix}-${numbered}`;
}

const PATHS = {
  search: "M10.5 4a6.5 6.5 0 1 0 4 11.6l4.4 4.4 1.4-1.4-4.4-4.4A6.5 6.5 0 0 0 10.5 4zm0 2a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9z",
  star: "M12 3l2.8 5.7 6.2.9-4.5 4.4 1 6.2-5.5-2.9-5.5 2.9 1-6.2L3 9.6l6.2-.9z",
  check: "M9.5 16.2L5.3 12l-1.4 1.4 5.6 5.6L20.1 8.4 18.7 7z",
};

/** A drawing beside words, hidden from screen readers. */
export function icon(name, size = 20) {
  const attributes = { viewBox: "0 0 24 24", width: size, height: size, fill: "currentColor", "aria-hidden": "true" };
  return svg("svg", attributes, svg("path", { d: PATHS[name] }));
}
