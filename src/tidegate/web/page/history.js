// The last minutes of each number, what was before this page was opened included, and the small line that draws them.

const KEEP_S = 300;
const LEAST_S = 60; // the width of a line stands for at least so long, and for five minutes at most

/** Rows of numbers by time; at most one row a second, the newest one of a second counts. */
class Timeline {
  rows = [];

  push(at, values) {
    const last = this.rows[this.rows.length - 1];
    if (last && at < last.at) this.rows = []; // the clock was set back, or another Tidegate answers: begin again
    if (last && Math.floor(last.at) === Math.floor(at)) this.rows.pop();
    this.rows.push({ at, ...values });
    while (this.rows[0].at < at - KEEP_S) this.rows.shift();
  }

  /** What was before the first row. */
  before(rows) {
    if (!this.rows.length) return;
    const { at } = this.rows[0];
    this.rows.unshift(...rows.filter((row) => Math.floor(row.at) < Math.floor(at) && row.at >= at - KEEP_S));
  }
}

/** Numbers of pools from before this page was opened, by service and pool; taken by each pool that comes up. */
const past = {
  pools: new Map(),

  key: ({ service, pool }) => `${service}/${pool}`,

  learn({ at, pools }) {
    for (const known of pools) this.pools.set(this.key(known), numbersOf(known, at));
  },

  rows(pool) {
    return this.pools.get(this.key(pool)) ?? [];
  },
};

/** Columns of a `PoolHistory` as rows of a timeline. */
function numbersOf(known, at) {
  const rows = at.map((second, i) => ({
    at: second, rate: known.arrival_per_s[i], ready: known.ready[i], wanted: known.wanted[i], queued: known.queued[i],
    answer: known.service_ms_mean[i] == null ? null : known.service_ms_mean[i] + (known.wait_ms_mean[i] || 0),
    service: known.service_ms_mean[i],
  }));
  return rows.filter((row) => row.ready != null);
}

/**
 * A line over the last minutes. `names` are the fields it draws: the first filled, the second dashed. `least` is the
 * smallest number the full height may stand for; `warm` lines turn amber as soon as they are not zero.
 */
class Spark {
  constructor(names, { step = false, warm = false, least = 1 } = {}) {
    this.names = names;
    this.step = step;
    this.least = least;
    this.warm = warm;
    this.area = svg("path", { class: "area" });
    this.lines = names.map((_, i) => svg("path", { class: i ? "second" : "main" }));
    this.node = svg("svg", { class: "spark", viewBox: "0 0 300 40", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.node.append(this.area, ...[...this.lines].reverse());
  }

  draw(rows) {
    if (!rows.length) return;
    const end = rows[rows.length - 1].at;
    const span = Math.min(KEEP_S, Math.max(LEAST_S, end - rows[0].at));
    const most = Math.max(...this.names.flatMap((name) => rows.map((row) => row[name] ?? 0)));
    const top = Math.max(this.least, most) * 1.15;
    if (this.warm) this.node.classList.toggle("warm", most > 0);
    this.names.forEach((name, i) => {
      const points = rows.filter((row) => row[name] != null)
        .map((row) => [300 - ((end - row.at) / span) * 300, 40 - (row[name] / top) * 39]);
      const line = this.path(points);
      this.lines[i].setAttribute("d", line);
      if (i) return;
      const closed = points.length > 1 ? `${line}V40H${points[0][0].toFixed(1)}Z` : "";
      this.area.setAttribute("d", closed);
    });
  }

  path(points) {
    let text = "";
    for (const [x, y] of points) {
      const [px, py] = [x.toFixed(1), y.toFixed(1)];
      if (!text) text = `M${px} ${py}`;
      else text += this.step ? `H${px}V${py}` : `L${px} ${py}`;
    }
    return text;
  }
}
