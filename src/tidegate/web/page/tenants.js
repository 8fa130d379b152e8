// Tenants: what each has in progress, what is left of its day, how it went since the control process began.

class TenantView {
  bars = new Map();

  constructor(tenant) {
    this.about = el("span");
    this.detail = el("p", { class: "detail" });
    this.list = el("div");
    this.counts = el("p", { class: "detail" });
    this.node = el("div", { class: "tenant" }, el("h3", {}, tenant.name, " ", this.about), this.detail, this.list, this.counts);
  }

  update(tenant) {
    const services = tenant.services.includes("*") ? "all services" : tenant.services.join(", ") || "no service";
    const rest = [tenant.priority === "normal" ? "" : tenant.priority, tenant.weight === 1 ? "" : `weight ${tenant.weight}`];
    setText(this.about, [services, ...rest].filter(Boolean).join(", "));
    setText(this.detail, tenant.spent ? `The day is used up until ${clockTime(tenant.day_ends_at)}` : "");
    setData(this.detail, "trouble", tenant.spent ? "yes" : "no");
    keyed(this.list, this.bars, this.limits(tenant), (item) => item.label, (item) => new Bar(item.label));
    setText(this.counts, this.told(tenant));
  }

  /** What has a limit as a bar; what has none as a number, where there is one. */
  limits(tenant) {
    const waiting = tenant.queued ? `, ${count(tenant.queued)} waiting` : "";
    const rows = [
      ["In progress", tenant.in_progress, tenant.concurrency, count, waiting],
      ["Requests today", tenant.requests_today, tenant.requests_per_day, count, ""],
      ["Sent today", tenant.bytes_today, tenant.bytes_per_day, bytes, ""],
      ["Megapixels today", tenant.megapixels_today, tenant.megapixels_per_day, fine, ""],
      ["Sound and film today", tenant.media_seconds_today, tenant.media_seconds_per_day, duration, ""],
    ];
    return rows.filter(([, used, most], i) => i < 2 || used || most != null).map(([label, used, most, form, more]) => ({
      label,
      text: `${form(used)}${most == null ? "" : ` of ${form(most)}`}${more}`,
      part: most == null ? null : most > 0 ? used / most : 1,
    }));
  }

  told(tenant) {
    const refused = Object.entries(tenant.refused).sort(([a], [b]) => a.localeCompare(b)).map(([code, n]) => `${code} ${count(n)}`);
    const all = tenant.worked + tenant.failed;
    const parts = [
      all ? `${count(tenant.worked)} answered, ${share(tenant.in_time / all)} in time` : "Nothing answered yet",
      tenant.failed ? `${count(tenant.failed)} failed` : "",
      refused.length ? `refused: ${refused.join(", ")}` : "",
    ];
    return `${parts.filter(Boolean).join("; ")}.`;
  }
}

const tenantViews = new Map();

/** Those that the stream tells of, which are a screenful of the busiest; `more` others there are. */
function drawTenants({ tenants, refused_unknown, more }) {
  byId("tenants-card").hidden = !tenants.length;
  const shown = [...tenants].sort((a, b) => a.name.localeCompare(b.name));
  keyed(byId("tenants"), tenantViews, shown, (tenant) => tenant.name, (tenant) => new TenantView(tenant));
  const unknown = Object.entries(refused_unknown).sort(([a], [b]) => a.localeCompare(b)).map(([code, n]) => `${code} ${count(n)}`);
  setText(byId("tenants-more"), [
    more ? `${plural(more, "tenant")} more, with less to do: tidegate tenants shows all.` : "",
    unknown.length ? `Refused before it was known whose they are: ${unknown.join(", ")}.` : "",
  ].filter(Boolean).join(" "));
}
