// Text and elements. Everything that comes from outside goes through textContent, never through markup.

const NOTHING = "–";

/** An element with attributes and children; strings become text. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** An SVG element with attributes. */
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Touch the document only when something changed: 1000 replicas a second are mostly the same. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

/**
 * Make the children of `parent` show `items`, in order: `make(item)` returns a view with `.node` and `.update(item)`.
 * Views are kept by key in `views` (a Map) from call to call.
 */
function keyed(parent, views, items, keyOf, make) {
  const seen = new Set();
  let place = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    if (seen.has(key)) continue;
    seen.add(key);
    let view = views.get(key);
    if (!view) views.set(key, (view = make(item)));
    view.update(item);
    if (view.node === place) place = place.nextSibling;
    else parent.insertBefore(view.node, place);
  }
  for (const [key, view] of views) {
    if (seen.has(key)) continue;
    view.node.remove();
    views.delete(key);
  }
}

function plural(n, one, many = one + "s") {
  return `${count(n)} ${n === 1 ? one : many}`;
}

function count(n) {
  return Math.round(n).toLocaleString("en");
}

/** With one digit behind the point where that says something. */
function fine(n) {
  return n < 100 ? String(Number(n.toFixed(1))) : count(n);
}

/** Requests a second. */
function rate(perS) {
  if (perS == null) return NOTHING;
  if (perS >= 100) return count(perS);
  return perS >= 10 ? perS.toFixed(1) : String(Number(perS.toFixed(2)));
}

/** A time given in milliseconds. */
function millis(ms) {
  if (ms == null) return NOTHING;
  if (ms < 1) return ms === 0 ? "0 ms" : "<1 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 10000 ? `${(ms / 1000).toFixed(2)} s` : `${(ms / 1000).toFixed(1)} s`;
}

/** A duration given in seconds, in its two largest units. */
function duration(s) {
  if (s < 1) return "0 s";
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => s >= size);
  let rest = Math.floor(s);
  const parts = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n) parts.push(`${n} ${unit}`);
  }
  return parts.join(" ");
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit += 1; }
  return `${Number(n.toFixed(n < 10 ? 1 : 0))} ${units[unit]}`;
}

/** A share; more digits near one, where they matter: 99.95%. Never rounded up to 100%. */
function share(ratio) {
  if (ratio == null) return NOTHING;
  const percent = ratio * 100;
  if (percent === 100) return "100%";
  return `${(Math.floor(percent * 100) / 100).toFixed(percent >= 99 ? 2 : 1)}%`;
}

function clockTime(epochS) {
  return new Date(epochS * 1000).toLocaleTimeString("en-GB");
}
