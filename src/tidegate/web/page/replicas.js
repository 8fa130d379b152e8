// The replicas of a pool: a strip of cells to look at, and the same as a table to read.

const MANY = 150; // cells get smaller above this ...
const CROWD = 500; // ... and again above this, so that 1000 fit on a screen

/** One shared box that says what a cell stands for; it follows the pointer or the arrow keys. */
const tip = {
  node: document.getElementById("tip"),
  cell: null,

  show(cell) {
    if (this.cell && this.cell !== cell) this.cell.classList.remove("at");
    this.cell = cell;
    this.refresh();
    this.node.hidden = false;
    this.place();
  },

  hide() {
    if (this.cell) this.cell.classList.remove("at");
    this.cell = null;
    this.node.hidden = true;
  },

  refresh() {
    if (!this.cell) return;
    if (!this.cell.isConnected) { this.hide(); return; }
    const facts = this.cell.facts;
    const list = el("dl");
    for (const [name, value] of facts.rows) list.append(el("dt", {}, name), el("dd", {}, value));
    this.node.replaceChildren(el("b", {}, facts.title), list);
  },

  place() {
    const at = this.cell.getBoundingClientRect();
    const box = this.node.getBoundingClientRect();
    const left = Math.max(8, Math.min(at.left + at.width / 2 - box.width / 2, document.documentElement.clientWidth - box.width - 8));
    const above = at.top - box.height - 9;
    this.node.style.left = `${left}px`;
    this.node.style.top = `${above > 4 ? above : at.bottom + 9}px`;
  },
};
document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hide(); });
document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".strip")) tip.hide(); });
window.addEventListener("scroll", () => tip.hide(), { passive: true });

function replicaFacts(replica, slots) {
  const rows = [["state", `${replica.state} for ${duration(replica.age_in_state_s)}`], ["age", duration(replica.age_s)], ["cluster", replica.cluster]];
  if (replica.address) rows.push(["address", replica.address]);
  rows.push(["in flight", `${replica.in_flight} of ${slots}`], ["revision", replica.revision]);
  if (replica.restarts) rows.push(["restarts", String(replica.restarts)]);
  if (replica.cause) rows.push(["cause", replica.cause]);
  if (replica.detail) rows.push(["detail", replica.detail]);
  return { title: replica.id, rows };
}

class Cell {
  constructor(strip) {
    this.strip = strip;
    this.node = el("i", { class: "cell", role: "option" });
  }

  update({ replica, slots }) {
    const node = this.node;
    setData(node, "state", replica.state);
    setData(node, "restarted", replica.restarts ? "yes" : "no");
    const level = `${Math.round(Math.min(1, replica.in_flight / slots) * 100)}%`;
    if (this.level !== level) node.style.setProperty("--level", (this.level = level));
    node.facts = replicaFacts(replica, slots);
  }
}

class PendingCell {
  constructor() {
    this.node = el("i", { class: "cell", role: "option", "data-state": "pending" });
    this.node.facts = { title: "Wanted, but it fits nowhere now", rows: [] };
  }

  update() {}
}

/** One tab stop; the arrow keys walk through the cells. */
class Strip {
  cells = new Map();

  constructor(name) {
    this.name = name;
    this.id = `strip-${(Strip.last = (Strip.last || 0) + 1)}`;
    this.node = el("div", { class: "strip", role: "listbox", tabindex: "0", id: this.id });
    this.node.addEventListener("pointerover", (event) => this.point(event));
    this.node.addEventListener("pointerleave", () => tip.hide());
    this.node.addEventListener("click", (event) => this.point(event));
    this.node.addEventListener("focus", () => this.walk(0));
    this.node.addEventListener("blur", () => tip.hide());
    this.node.addEventListener("keydown", (event) => this.key(event));
  }

  update(pool, replicas) {
    const slots = Math.max(1, Math.round(pool.slots / Math.max(1, pool.ready)));
    const items = replicas.map((replica) => ({ key: replica.id, replica, slots }));
    for (let i = 0; i < pool.pending; i += 1) items.push({ key: i });
    this.node.classList.toggle("many", items.length > MANY && items.length <= CROWD);
    this.node.classList.toggle("crowd", items.length > CROWD);
    keyed(this.node, this.cells, items, (item) => item.key, (item) => (item.replica ? new Cell(this) : new PendingCell()));
    const states = new Map();
    for (const { state } of replicas) states.set(state, (states.get(state) || 0) + 1);
    if (pool.pending) states.set("pending", pool.pending);
    const words = [...states].map(([state, n]) => `${n} ${state}`).join(", ");
    const label = `${this.name}: ${words || "no replicas"}`;
    if (this.label !== label) this.node.setAttribute("aria-label", (this.label = label));
  }

  point(event) {
    const cell = event.target.closest(".cell");
    if (cell) tip.show(cell);
  }

  walk(by) {
    const cells = this.node.children;
    if (!cells.length) return;
    const now = this.node.querySelector(".at");
    const at = now ? [...cells].indexOf(now) : 0;
    const cell = cells[Math.max(0, Math.min(cells.length - 1, at + by))];
    tip.show(cell);
    cell.classList.add("at");
    cell.id = `${this.id}-at`;
    if (now && now !== cell) now.removeAttribute("id");
    cell.setAttribute("aria-label", [cell.facts.title, ...cell.facts.rows.map((row) => row.join(" "))].join(", "));
    this.node.setAttribute("aria-activedescendant", cell.id);
  }

  key(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -1e6, End: 1e6, ArrowDown: this.perRow(), ArrowUp: -this.perRow() };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.walk(steps[event.key]);
  }

  perRow() {
    const cells = [...this.node.children];
    const below = cells.findIndex((cell) => cell.offsetTop > cells[0].offsetTop + 2);
    return below < 0 ? cells.length : below;
  }
}

const COLUMNS = ["Replica", "State", "Age", "Cluster", "In flight", "Restarts", "Address", "Revision", "Cause"];
const NUMBERS = new Set(["Age", "In flight", "Restarts"]);

class Row {
  constructor() {
    this.cells = COLUMNS.map((name) => el("td", NUMBERS.has(name) ? { class: "num" } : name === "Cause" ? { class: "wide" } : {}));
    this.node = el("tr", {}, ...this.cells);
  }

  update(r) {
    const cause = r.detail ? `${r.cause}: ${r.detail}` : r.cause;
    const texts = [r.id, r.state, duration(r.age_s), r.cluster, String(r.in_flight), String(r.restarts), r.address || NOTHING, r.revision, cause];
    texts.forEach((text, i) => setText(this.cells[i], text));
  }
}

/** The table is filled only while it is open. */
class ReplicaTable {
  rows = new Map();

  constructor(name) {
    const head = el("tr", {}, ...COLUMNS.map((c) => el("th", { scope: "col", ...(NUMBERS.has(c) ? { class: "num" } : {}) }, c)));
    this.body = el("tbody");
    const table = el("table", { "aria-label": `Replicas of ${name}` }, el("thead", {}, head), this.body);
    this.node = el("details", { class: "more" }, el("summary", {}, "Replicas as a table"), el("div", { class: "scroll", tabindex: "0" }, table));
    this.node.addEventListener("toggle", () => this.update(this.replicas));
  }

  update(replicas) {
    this.replicas = replicas;
    if (this.node.open) keyed(this.body, this.rows, replicas, (replica) => replica.id, () => new Row());
  }
}
