// Puts the parts together: what the connection brings is drawn once per frame, and not at all in a hidden tab.

const serviceViews = new Map();
let latest = null;
let drawing = false;

function draw() {
  drawing = false;
  const status = latest;
  drawHeadline(status);
  drawGateway(status);
  const items = status.services.map((service) => ({ service, at: status.at }));
  keyed(byId("services"), serviceViews, items, (item) => item.service.name, (item) => new ServiceView(item.service));
  drawClusters(status);
  byId("legend").hidden = !status.services.length;
  byId("decisions-card").hidden = false;
  if (status.stopping) banner("calm", "Tidegate is stopping: requests end, then replicas end.");
  tip.refresh();
}

function banner(kind, text, retry = false) {
  byId("banner").hidden = !text;
  setData(byId("banner"), "kind", kind);
  setText(byId("banner-text"), text);
  byId("banner-retry").hidden = !retry;
}

function live(state, text) {
  setData(byId("live"), "state", state);
  setText(byId("live-text"), text);
  document.body.classList.toggle("lost", state !== "live" && latest !== null);
}

const connection = new Connection({
  status(status) {
    latest = status;
    live("live", "live");
    byId("token-form").hidden = true;
    byId("main").removeAttribute("aria-busy");
    banner("calm", "");
    if (drawing) return;
    drawing = true;
    // A hidden tab gets no frames: the sample is kept all the same, drawn late.
    if (document.hidden) draw();
    else requestAnimationFrame(draw);
  },

  tenants(tenancy) {
    drawTenants(tenancy);
  },

  history(told) {
    past.learn(told);
    for (const service of serviceViews.values()) for (const pool of service.pools.values()) pool.remember();
  },

  journal(events) {
    decisions.add(events);
  },

  state(name, detail) {
    if (name === "token") {
      live("lost", "token needed");
      banner("calm", "");
      byId("token-form").hidden = false;
      byId("headline").textContent = "";
      byId("token").focus();
      return;
    }
    live("lost", "connection lost");
    const why = detail.why ? ` (${detail.why})` : "";
    const wait = detail.retryMs < 1000 ? "in a moment" : `in ${Math.round(detail.retryMs / 1000)} s`;
    banner("alarm", `Connection lost${why}. What you see is from ${latest ? clockTime(latest.at) : "before"}; trying again ${wait}.`, true);
  },
});

byId("banner-retry").addEventListener("click", () => connection.wake());
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  connection.useToken(byId("token").value.trim());
});
connection.run();
