"use strict";
// Draws what `data` holds: a row per pool where there are several, one row of the table per policy, charts that share cursor and zoom.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const PALETTE = ["#d9822b", "#7c5cd6", "#3d7edb", "#c2478f", "#6b8e23", "#8a6d5a", "#4a9fb5", "#b5524a", "#777f8a"];
  const el = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "style") made.style.cssText = value; else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };
  const colorOf = (index) => (index === 0 ? css("--tide") : PALETTE[(index - 1) % PALETTE.length]);
  const few = (x) => (x === 0 ? "0" : x >= 1000 ? Math.round(x).toLocaleString("en") : x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x >= 0.1 ? x.toFixed(2) : String(+x.toPrecision(2)));
  const share = (x) => {
    const digits = x >= 1 || x < 0.9 ? 1 : 3;
    return (Math.floor(x * 100 * 10 ** digits + 1e-6) / 10 ** digits).toFixed(digits) + "%";
  };
  const span = (s) => (s >= 5400 ? (s / 3600).toFixed(1) + " h" : s >= 90 ? Math.round(s / 60) + " min" : few(s) + " s");
  const secs = (s) => (s < 0.0005 ? "0" : s < 1 ? Math.round(s * 1000) + " ms" : few(s) + " s");
  const money = (x) => (data.priced ? few(x) : "–");

  // 24 hours, UTC; days by name where a day begins.
  const clock = (u, ticks, axis, space, step) => ticks.map((t) => {
    const at = new Date(t * 1000);
    const named = (options) => at.toLocaleDateString("en", { timeZone: "UTC", ...options });
    const day = step >= 86400 * 7 ? named({ day: "numeric", month: "short" }) : `${named({ weekday: "short" })} ${at.getUTCDate()}`;
    if (step >= 86400 || (at.getUTCHours() === 0 && at.getUTCMinutes() === 0)) return day;
    return at.toISOString().slice(11, step < 60 ? 19 : 16);
  });

  let pool = 0;
  // A fixed fleet for the peak would flatten the others; it is a click away.
  const telling = data.policies.map((p, i) => i).filter((i) => i === 0 || !data.policies[i].name.startsWith("static"));
  const bound = data.policies.findIndex((p) => p.name === "clairvoyant");
  const shown = new Set([...telling.slice(0, 2), bound > 0 ? bound : telling[2] ?? 0]);
  let charts = [];

  const bands = (u) => {
    const { ctx, bbox } = u;
    const rowEnds = []; // names that would overlap stand below each other
    ctx.save();
    const begun = Math.min(u.valToPos(data.countedFrom, "x", true), bbox.left + bbox.width);
    if (begun > bbox.left) { // what is drawn and not counted
      ctx.fillStyle = css("--soft") + "1c";
      ctx.fillRect(bbox.left, bbox.top, begun - bbox.left, bbox.height);
    }
    for (const fault of data.faults) {
      const a = Math.max(u.valToPos(fault.from, "x", true), bbox.left);
      const b = Math.min(u.valToPos(Math.max(fault.to, fault.from), "x", true), bbox.left + bbox.width);
      if (b < bbox.left || a > bbox.left + bbox.width) continue;
      ctx.fillStyle = css("--bad") + "22";
      ctx.fillRect(a, bbox.top, Math.max(2, b - a), bbox.height);
      if (u.namesFaults) {
        ctx.fillStyle = css("--bad");
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        const row = rowEnds.findIndex((end) => end < a), at = row < 0 ? rowEnds.length : row;
        rowEnds[at] = a + ctx.measureText(fault.name).width + 9;
        ctx.fillText(fault.name, a + 3, bbox.top + (12 + 13 * at) * devicePixelRatio);
      }
    }
    ctx.restore();
  };

  const chart = (host, title, series, options = {}) => {
    const live = el("span", { class: "live" });
    const box = el("div", { class: "chart" });
    host.append(el("section", {}, el("h2", {}, title, live), box));
    const ink = css("--soft"), line = css("--line");
    const round = (t) => String(+t.toPrecision(6)).replace(/\B(?=(\d{3})+(?!\d|.*\.))/g, " ");
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const format = options.format || few;
    const refresh = (u) => {
      const at = u.cursor.idx;
      live.replaceChildren(...series.filter((s) => s.label).map((s, i) => {
        const value = at == null ? null : s.values[at];
        const text = at == null ? "" : value == null ? "–" : format(value);
        return el("span", {}, el("i", { style: `background:${s.color}` }), s.label + " ", el("b", {}, text));
      }));
    };
    const made = new uPlot({
      width: box.clientWidth, height: options.height || 190,
      padding: [8, 6, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "all", setSeries: false }, drag: { x: true, y: false }, points: { size: 6 } },
      scales: { x: { time: true }, y: { range: options.range || ((u, low, high) => [0, high > 0 ? high * 1.06 : 1]) } },
      axes: [
        { ...axis, size: 34, values: clock },
        { ...axis, size: 62, values: (u, ticks) => ticks.map((t) => (options.tick || round)(t)) },
      ],
      tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
      series: [{}, ...series.map((s) => ({
        label: s.label, stroke: s.color, width: s.width ?? 1.5, fill: s.fill, dash: s.dash, points: { show: false },
        paths: s.step ? uPlot.paths.stepped({ align: 1 }) : undefined, spanGaps: false,
      }))],
      hooks: { drawClear: [bands], setCursor: [refresh], ready: [refresh] },
    }, [data.pools[pool].at, ...series.map((s) => s.values)], box);
    made.namesFaults = Boolean(options.namesFaults);
    if (made.namesFaults) made.redraw();
    charts.push({ made, box });
  };

  const draw = () => {
    const here = data.pools[pool];
    const zoom = charts.length ? { ...charts[0].made.scales.x } : null;
    charts.forEach(({ made }) => made.destroy());
    charts = [];
    const host = document.getElementById("charts");
    host.replaceChildren();
    const soft = css("--soft");
    const lines = [...shown].filter((i) => here.runs[i]).sort((a, b) => b - a).map((i) => ({ i, run: here.runs[i], label: data.policies[i].name, color: colorOf(i) }));
    chart(host, "Requests a second", [
      { label: "arriving", values: here.rps, color: soft, fill: soft + "22" },
      ...lines.slice().reverse().map((l) => ({ label: lines.length > 1 ? `lost (${l.label})` : "not answered in time", values: l.run.lost, color: lines.length > 1 ? l.color : css("--bad"), width: 1.2 })),
    ], { namesFaults: true });
    const replicas = lines.flatMap((l) => [
      { label: l.i === 0 || lines.length === 1 ? `${l.label} ready` : l.label, values: l.run.ready, color: l.color, width: l.i === 0 ? 2 : 1.4, fill: l.i === 0 ? l.color + "22" : undefined, step: true },
      ...(lines.length <= 2 && l.i === lines[lines.length - 1].i ? [{ label: "wanted", values: l.run.wanted, color: soft, width: 1.2, dash: [4, 3], step: true }] : []),
    ]);
    chart(host, "Replicas", [
      ...replicas.reverse(),
      { label: "kept busy by the load", values: here.needed, color: css("--ink") + "99", width: 1, dash: [2, 3] },
    ], { height: 240 });
    const places = Object.keys(here.where);
    if (places.length) {
      chart(host, `Replicas of ${data.policies[0].name} by cluster`, places.map((name, i) => ({
        label: name, values: here.where[name], color: PALETTE[(i + 2) % PALETTE.length], width: 1.6, step: true,
      })), { height: 150 });
    }
    chart(host, "Waiting in the queue", lines.slice().reverse().map((l) => ({ label: l.label, values: l.run.queue, color: l.color, width: 1.4 })), { height: 150 });
    const worst = Math.min(here.promised, ...lines.flatMap((l) => l.run.ok.filter((v) => v != null)));
    const low = Math.max(0, worst - (1 - worst) * 0.15);
    chart(host, `Answered within ${secs(here.within)}`, [
      ...lines.slice().reverse().map((l) => ({ label: l.label, values: l.run.ok, color: l.color, width: 1.4 })),
      { label: "promised", values: here.at.map(() => here.promised), color: css("--bad"), width: 1, dash: [5, 4] },
    ], { height: 150, format: share, tick: (t) => +(t * 100).toPrecision(6) + "%", range: () => [low, 1 + (1 - low) * 0.04] });
    const costName = data.priced ? "Cost so far" : "Replica-hours so far";
    chart(host, costName, lines.slice().reverse().map((l) => ({ label: l.label, values: l.run.cost, color: l.color, width: 1.8 })), { height: 170 });
    if (zoom && zoom.min != null && (zoom.min > here.at[0] || zoom.max < here.at[here.at.length - 1])) {
      charts.forEach(({ made }) => made.setScale("x", { min: zoom.min, max: zoom.max }));
    }
  };

  const cards = () => {
    const here = data.pools[pool], n = here.runs[0].numbers;
    const card = (name, value, note, tone = "") => el("div", { class: "card" }, el("div", { class: "name" }, name),
      el("div", { class: `value ${tone}` }, value), el("div", { class: "note" }, note));
    document.getElementById("cards").replaceChildren(
      card("Answered in time", n.requests ? share(n.success) : "–", `${share(here.promised)} promised within ${secs(here.within)}${n.requests ? "" : "; no requests"}`, n.promise.kept ? "good" : "bad"),
      card("Slots in use", (n.utilization * 100).toFixed(0) + "%", "of those that were paid for"),
      card(data.priced ? "Cost" : "Replica-hours", data.priced ? money(n.cost) : few(n.replica_hours), `${few(n.replica_hours)} replica-hours, at most ${n.most_replicas} at once`),
      card("Answer, p95", secs(n.answer_s.p95), `p50 ${secs(n.answer_s.p50)}, p99 ${secs(n.answer_s.p99)}`),
      card("Wait, p95", secs(n.wait_s.p95), `p99 ${secs(n.wait_s.p99)}`),
      card("Promise broken", span(n.broken_s), `${n.scale_actions.toLocaleString("en")} changes of scale`, n.broken_s ? "" : "good"),
    );
  };

  const table = () => {
    const host = document.getElementById("table");
    host.replaceChildren();
    if (data.policies.length < 2) return;
    const here = data.pools[pool];
    const base = here.runs[0].numbers;
    const paid = (n) => (data.priced ? n.cost : n.replica_hours);
    const heads = ["policy", "in time", data.priced ? "cost" : "replica-hours", "relative", "slots used", "answer p95", "wait p99", "broken for", "changes"];
    const body = el("tbody");
    data.policies.forEach((policy, i) => {
      const run = here.runs[i], n = run && run.numbers;
      const cells = !run ? heads.slice(1).map(() => el("td", {}, "–")) : [
        el("td", { class: n.promise.kept ? "good" : "bad" }, share(n.success)),
        el("td", {}, data.priced ? money(n.cost) : few(n.replica_hours)),
        el("td", {}, paid(base) ? (paid(n) / paid(base)).toFixed(2) + "×" : "–"),
        el("td", {}, (n.utilization * 100).toFixed(0) + "%"),
        el("td", {}, secs(n.answer_s.p95)),
        el("td", {}, secs(n.wait_s.p99)),
        el("td", {}, span(n.broken_s)),
        el("td", {}, n.scale_actions.toLocaleString("en")),
      ];
      const row = el("tr", { class: `${i === 0 ? "ours" : ""} ${shown.has(i) ? "" : "off"}`, style: `--c:${colorOf(i)}`, tabindex: "0", "aria-selected": String(shown.has(i)) },
        el("td", {}, el("span", { class: "swatch" }), policy.name, el("span", { class: "title" }, run ? policy.title : policy.title + ", which have no such pool")),
        ...cells);
      const toggle = () => {
        if (shown.has(i) && shown.size > 1) shown.delete(i); else shown.add(i);
        table(); draw();
      };
      row.addEventListener("click", toggle);
      row.addEventListener("keydown", (event) => {
        if (event.key !== "Enter") return;
        toggle();
        host.querySelectorAll("tbody tr")[i].focus();
      });
      body.append(row);
    });
    host.append(el("section", {}, el("h2", {}, "The same requests under other policies"),
      el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", {}, h)))), body))));
  };

  // All services and size classes at a glance; a click on one shows it below.
  const pools = () => {
    const host = document.getElementById("pools");
    if (data.pools.length < 2) return;
    const choose = (i) => { pool = i; all(); };
    const rows = data.pools.map((p, i) => {
      const n = p.runs[0].numbers;
      const row = el("tr", { class: i === pool ? "ours" : "", tabindex: "0", "aria-selected": String(i === pool) },
        el("td", {}, p.name),
        el("td", {}, n.requests.toLocaleString("en")),
        el("td", { class: n.promise.kept ? "good" : "bad" }, n.requests ? share(n.success) : "–"),
        el("td", {}, share(p.promised)),
        el("td", {}, (n.utilization * 100).toFixed(0) + "%"),
        el("td", {}, few(n.replica_hours)),
        el("td", {}, String(n.most_replicas)),
        el("td", {}, money(n.cost)));
      row.addEventListener("click", () => choose(i));
      row.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(i); });
      return row;
    });
    const heads = ["pool", "requests", "in time", "promised", "slots used", "replica-hours", "most replicas", "cost"];
    host.replaceChildren(el("section", { class: "pools" }, el("h2", {}, `What ${data.policies[0].name} keeps, pool by pool`),
      el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", {}, h)))), el("tbody", {}, ...rows)))),
      el("h2", { class: "chosen" }, data.pools[pool].name));
  };

  const events = () => {
    if (!data.events.length) return;
    const at = (t) => new Date(t * 1000).toISOString().slice(11, 19);
    const items = data.events.map(([t, what]) => el("li", {}, el("b", {}, at(t)), " " + what));
    if (data.moreEvents) items.push(el("li", {}, `and ${data.moreEvents} more`));
    document.getElementById("events").replaceChildren(el("details", {}, el("summary", {}, `What happened (${data.events.length + data.moreEvents})`), el("ul", {}, ...items)));
  };

  // Zooming one chart zooms all.
  const link = () => {
    let busy = false;
    charts.forEach(({ made }) => {
      made.hooks.setScale = [(u, key) => {
        if (key !== "x" || busy) return;
        busy = true;
        const { min, max } = u.scales.x;
        charts.forEach((other) => { if (other.made !== u) other.made.setScale("x", { min, max }); });
        busy = false;
      }];
    });
  };
  const drawAll = draw;
  const all = () => { pools(); cards(); table(); drawAll(); link(); };
  all();
  events();
  const observe = new MutationObserver(link);
  observe.observe(document.getElementById("charts"), { childList: true });
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    charts.forEach(({ made, box }) => made.setSize({ width: box.clientWidth, height: made.height }));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
})();
