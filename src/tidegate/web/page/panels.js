// Everything around the services: the headline, the gateway, the clusters, the decisions.

const byId = (id) => document.getElementById(id);

/** One sentence that says how it stands, its numbers in bold. */
function drawHeadline(status) {
  const pools = status.services.flatMap((service) => service.pools);
  const sum = (name) => pools.reduce((total, pool) => total + (pool[name] || 0), 0);
  const node = byId("headline");
  const bold = (text) => el("b", {}, text);
  if (!pools.length) {
    if (node.dataset.text !== "none") node.replaceChildren("No service is declared yet. Declare one with ", el("code", {}, "tidegate apply -f FILE"), ".");
    node.dataset.text = "none";
    return;
  }
  const [ready, wanted, queued, pending] = ["ready", "wanted", "queued", "pending"].map(sum);
  const measured = pools.some((pool) => pool.arrival_per_s != null);
  const parts = [
    bold(plural(status.services.length, "service")), ", ", bold(count(ready)), ` of ${plural(wanted, "replica")} ready, `,
    ...(measured ? [bold(rate(sum("arrival_per_s"))), " requests a second, "] : []),
    ...(queued ? [bold(count(queued)), " waiting"] : ["nothing waiting"]),
    ...(pending ? [", ", bold(count(pending)), " without a place"] : []), ".",
  ];
  const text = parts.map((part) => part.textContent ?? part).join("");
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(...parts);
}

function drawGateway(status) {
  const { gateway } = status;
  byId("gateway").hidden = !gateway.url && !gateway.detail;
  setData(byId("gateway"), "up", gateway.up ? "yes" : "no");
  setText(byId("gateway-label"), gateway.up ? "Gateway" : "Gateway does not answer");
  setText(byId("gateway-url"), gateway.up ? gateway.url : [gateway.url, gateway.detail].filter(Boolean).join(" – "));
  byId("gateway-copy").hidden = !gateway.url;
  byId("gateway-copy").dataset.url = gateway.url;
  const warnings = gateway.warnings ?? []; // an older control process has none
  byId("warnings").hidden = !warnings.length;
  setText(byId("warnings"), warnings.join(". "));
  const refused = Object.entries(gateway.refused ?? {}).sort(([a], [b]) => a.localeCompare(b));
  byId("refused").hidden = !refused.length;
  setText(byId("refused"), `Refused at the gateway: ${refused.map(([code, count]) => `${code} ${count}`).join(", ")}`);
  setText(byId("uptime"), `up ${duration(status.uptime_s)}`);
  setText(byId("version"), `Tidegate ${status.version}${gateway.version ? ` · routing snapshot ${gateway.version}` : ""}`);
}

byId("gateway-copy").addEventListener("click", async (event) => {
  const button = event.currentTarget;
  try {
    await navigator.clipboard.writeText(button.dataset.url);
    button.textContent = "Copied";
  } catch { // no permission, or not a secure context: mark it, so that the keyboard can copy it
    getSelection().selectAllChildren(byId("gateway-url"));
    button.textContent = "Press Ctrl-C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1600);
});

function amount(resource, used, capacity) {
  if (resource === "memory") return `${bytes(used)} of ${bytes(capacity)}`;
  const unit = resource === "cpu" ? "cores" : "cards";
  return `${Number(used.toFixed(1))} of ${plural(capacity, unit.slice(0, -1), unit)}`;
}

/** How much of something is in use; without a limit (`part` null) only the number. */
class Bar {
  constructor(label) {
    this.amount = el("span", { class: "amount" });
    this.fill = el("i");
    this.track = el("div", { class: "track" }, this.fill);
    this.node = el("div", { class: "bar" }, el("span", {}, label), this.amount, this.track);
  }

  update({ text, part }) {
    setText(this.amount, text);
    this.track.hidden = part == null;
    this.fill.style.transform = `scaleX(${Math.min(1, part || 0).toFixed(4)})`;
    setData(this.track, "full", part > 0.9 ? "yes" : "no");
  }
}

function resourceName(resource) {
  return { cpu: "CPU", memory: "Memory" }[resource] || resource.replace("gpu/", "GPU ");
}

class ClusterView {
  bars = new Map();

  constructor(cluster) {
    this.about = el("span");
    this.detail = el("p", { class: "detail" });
    this.list = el("div");
    this.node = el("div", { class: "cluster" }, el("h3", {}, cluster.name, " ", this.about), this.detail, this.list);
  }

  update(cluster) {
    const { capacity, used } = cluster;
    setText(this.about, [...new Set([cluster.runtime, cluster.region])].filter(Boolean).join(", "));
    const state = !capacity ? "Cannot be seen now" : cluster.drained ? "Drained by an operator" : cluster.healthy ? "" : "Takes no new replicas";
    setText(this.detail, [state, cluster.detail].filter(Boolean).join(": "));
    setData(this.detail, "trouble", state ? "yes" : "no");
    const items = Object.entries(capacity || {}).map(([resource, all]) => {
      const taken = used?.[resource] || 0;
      return { resource, text: amount(resource, taken, all), part: all > 0 ? taken / all : 0 };
    });
    keyed(this.list, this.bars, items, (item) => item.resource, (item) => new Bar(resourceName(item.resource)));
  }
}

const clusterViews = new Map();

function drawClusters(status) {
  byId("clusters-card").hidden = !status.clusters.length;
  keyed(byId("clusters"), clusterViews, status.clusters, (cluster) => cluster.name, (cluster) => new ClusterView(cluster));
}

/** What was decided, newest first. The journal keeps everything; this list keeps a screenful. */
const decisions = {
  KEPT: 300,
  SHOWN: 40,
  events: [],
  views: new Map(),

  /** Adds events of the stream, or of the past; what is known already is left out. */
  add(events) {
    const known = new Map(this.events.map((event) => [event.key, event]));
    for (const event of events) {
      const key = [event.at, event.subject, event.text].join("|");
      if (!known.has(key)) known.set(key, { ...event, key });
    }
    this.events = [...known.values()].sort((a, b) => a.at - b.at).slice(-this.KEPT);
    this.draw();
  },

  draw() {
    const moves = byId("show-moves").checked;
    const shown = this.events.filter((event) => moves || !["transition", "phase"].includes(event.kind)).slice(-this.SHOWN).reverse();
    byId("decisions-none").hidden = shown.length > 0;
    keyed(byId("decisions"), this.views, shown, (event) => event.key, (event) => this.view(event));
  },

  view(event) {
    const time = el("time", { datetime: new Date(event.at * 1000).toISOString() }, clockTime(event.at));
    const node = el("li", { "data-kind": event.kind }, time, el("p", {}, el("b", {}, event.subject), " ", event.text.replaceAll(" -> ", " → ")));
    return { node, update() {} };
  },
};
byId("show-moves").addEventListener("change", () => decisions.draw());
