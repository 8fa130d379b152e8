// Services and their pools: how many replicas and why, what they do, how it went in the last minutes.

class Tile {
  constructor(label, spark) {
    this.value = el("span", { class: "value" }, NOTHING);
    this.note = el("div", { class: "note" }, " ");
    this.spark = spark;
    this.node = el("div", { class: "tile" }, el("span", { class: "label" }, label), this.value, spark.node, this.note);
  }

  update(value, unit, note, rows) {
    const text = `${value}|${unit}`;
    if (this.text !== text) {
      this.text = text;
      this.value.replaceChildren(value, ...(unit ? [el("small", {}, ` ${unit}`)] : []));
    }
    setText(this.note, note || " ");
    this.spark.draw(rows);
  }
}

class PoolView {
  history = new Timeline();
  visible = true;

  constructor(pool) {
    const name = pool.pool === "default" ? pool.service : `${pool.service}, ${pool.pool}`;
    this.title = el("h3");
    this.revision = el("span");
    this.ready = el("b");
    this.wanted = el("span", { class: "muted" });
    this.reason = el("p", { class: "reason" });
    this.others = el("p", { class: "reasons-more" });
    this.strip = new Strip(name);
    this.table = new ReplicaTable(name);
    this.tiles = {
      rate: new Tile("Requests", new Spark(["rate"])),
      replicas: new Tile("Replicas", new Spark(["ready", "wanted"], { step: true })),
      queue: new Tile("Waiting", new Spark(["queued"], { warm: true, least: 4 })),
      answer: new Tile("Answer time", new Spark(["answer", "service"], { least: 10 })),
    };
    const words = el("div", {},
      el("div", { class: "pool-name" }, this.title, this.revision),
      el("div", { class: "pool-count" }, this.ready, this.wanted), this.reason, this.others);
    const tiles = el("div", { class: "tiles" }, ...Object.values(this.tiles).map((tile) => tile.node));
    this.node = el("div", { class: "pool" }, words, tiles, this.strip.node, this.table.node);
    this.node.view = this;
    onScreen.observe(this.node);
  }

  /** Numbers are remembered always, drawn only while the pool is on the screen. */
  update({ pool, at }) {
    const answer = pool.service_ms_mean == null ? null : pool.service_ms_mean + (pool.wait_ms_mean || 0);
    this.history.push(at, {
      rate: pool.arrival_per_s, ready: pool.ready, wanted: pool.wanted, queued: pool.queued, answer, service: pool.service_ms_mean,
    });
    if (!this.pool) this.history.before(past.rows(pool));
    this.pool = pool;
    this.at = at;
    if (this.visible) this.draw();
  }

  /** What was before, when that is told only after the pool came up. */
  remember() {
    if (!this.pool) return;
    this.history.before(past.rows(this.pool));
    if (this.visible) this.draw();
  }

  draw() {
    const { pool, at } = this;
    setText(this.title, pool.pool === "default" ? "default pool" : pool.pool);
    setText(this.revision, `revision ${pool.revision}`);
    setText(this.ready, count(pool.ready));
    setText(this.wanted, this.counts(pool));
    this.words(pool);
    this.numbers(pool);
    const replicas = pool.replicas.filter((r) => r.state !== "gone").map((r) => ({ ...r, age_in_state_s: Math.max(0, at - r.since) }));
    this.strip.update(pool, replicas);
    this.table.update(replicas);
  }

  counts(pool) {
    const parts = [`ready of ${count(pool.wanted)} wanted`];
    if (pool.starting) parts.push(`${count(pool.starting)} starting`);
    if (pool.draining) parts.push(`${count(pool.draining)} draining`);
    if (pool.pending) parts.push(`${count(pool.pending)} without a place`);
    return parts.join(", ");
  }

  words({ reasons, phases, weights, replicas }) {
    setText(this.reason, reasons.length ? sentence(reasons[0]) : "No decision yet.");
    setText(this.others, [...reasons.slice(1, 3).map(sentence), this.startUp(phases || []), this.balance(weights || [], replicas)].join(" "));
  }

  /** Which share each cluster is to get, of which three parts it is made, and which replicas get less than theirs. */
  balance(weights, replicas) {
    const parts = weights.map((w) => `${w.cluster} ${share(w.weight)} (${plural(w.slots, "slot")}, near for ${share(w.near)} of the calls, health ${share(w.health)})`);
    const less = replicas.filter((r) => r.share_ratio < 1).map((r) => `${r.id} gets ${share(r.share_ratio)} of its share`);
    const told = [...(weights.length > 1 ? [`Requests go to ${parts.join(", ")}.`] : []), ...(less.length ? [`${less.join(", ")}.`] : [])];
    return told.join(" ");
  }

  /** How long the last starts took, phase by phase: 95 of 100 were not longer. */
  startUp(phases) {
    const whole = phases.find((phase) => phase.name === "start-up");
    if (!whole) return "";
    const told = phases.filter((phase) => phase !== whole && phase.p95_s >= 0.005);
    const parts = told.map((phase) => `${phase.name} ${millis(1000 * phase.p95_s)}`).join(", ");
    return `Start-up p95 ${millis(1000 * whole.p95_s)}${parts ? ` (${parts})` : ""}.`;
  }

  numbers(pool) {
    const rows = this.history.rows;
    const { rate: requests, replicas, queue, answer } = this.tiles;
    const busy = pool.slots ? `${count(pool.in_flight)} of ${plural(pool.slots, "slot")} busy` : `${count(pool.in_flight)} in flight`;
    requests.update(rate(pool.arrival_per_s), "/s", busy, rows);
    replicas.update(count(pool.ready), `of ${count(pool.wanted)}`, "", rows);
    queue.update(count(pool.queued), "", pool.wait_ms_mean == null ? "" : `mean wait ${millis(pool.wait_ms_mean)}`, rows);
    const [value, unit] = millis(rows[rows.length - 1].answer).split(" ");
    answer.update(value, unit || "", pool.in_time_ratio == null ? "" : `${share(pool.in_time_ratio)} in time`, rows);
  }
}

const onScreen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const view = entry.target.view;
    view.visible = entry.isIntersecting;
    if (view.visible && view.pool) view.draw();
  }
}, { rootMargin: "200px" });

/** "promise: 14 in flight, so 4 replicas" as a sentence of its own. */
function sentence(reason) {
  const text = `${reason.topic}: ${reason.text}`;
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

class ServiceView {
  pools = new Map();

  constructor(service) {
    this.title = el("h2", {}, service.name);
    this.url = el("code");
    this.list = el("div");
    this.node = el("article", { class: "service card", "aria-label": `Service ${service.name}` }, el("header", {}, this.title, this.url), this.list);
  }

  update({ service, at }) {
    setText(this.url, service.url);
    const items = service.pools.map((pool) => ({ pool, at }));
    keyed(this.list, this.pools, items, (item) => item.pool.pool, (item) => new PoolView(item.pool));
  }
}
