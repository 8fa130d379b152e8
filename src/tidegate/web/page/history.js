// The last minutes of each number, kept in this page only, and the small line that draws them.

const KEEP_S = 300;

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
    const most = Math.max(...this.names.flatMap((name) => rows.map((row) => row[name] ?? 0)));
    const top = Math.max(this.least, most) * 1.15;
    if (this.warm) this.node.classList.toggle("warm", most > 0);
    this.names.forEach((name, i) => {
      const points = rows.filter((row) => row[name] != null)
        .map((row) => [300 - ((end - row.at) / KEEP_S) * 300, 40 - (row[name] / top) * 39]);
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
