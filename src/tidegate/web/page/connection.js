// The stream of statuses. `fetch` instead of EventSource, because only it can send the token in a header.

const SILENCE_MS = 6000; // the server speaks every second; a longer silence is a lost connection
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 5000;
const HISTORY_S = 3600;

/** Reads server-sent events from a response and hands each to `handlers[name](data)`. */
async function readEvents(response, handlers, alive) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    text += value;
    const frames = text.split("\n\n");
    text = frames.pop();
    for (const frame of frames) {
      const name = /^event: (.*)$/m.exec(frame);
      const data = /^data: (.*)$/m.exec(frame);
      if (name && data && handlers[name[1]]) handlers[name[1]](JSON.parse(data[1]));
    }
  }
}

class Connection {
  retryMs = FIRST_RETRY_MS;

  /** `on` has status(status), tenants(tenancy), history(history), journal(events) and state(name, detail). */
  constructor(on) {
    this.on = on;
    this.token = new URLSearchParams(location.hash.slice(1)).get("token") || sessionStorage.getItem("token") || "";
    if (location.hash.includes("token=")) history.replaceState(null, "", location.pathname); // keep it out of the address bar
    this.wake = () => {};
  }

  useToken(token) {
    this.token = token;
    this.wake();
  }

  ask(path, signal) {
    const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
    return fetch(path, { headers, signal, cache: "no-store" });
  }

  /** Connects, and connects again, as long as the page is open. */
  async run() {
    for (;;) {
      const why = await this.once();
      if (why === "token") {
        this.on.state("token");
        await new Promise((resolve) => { this.wake = resolve; });
        continue;
      }
      this.on.state("lost", { retryMs: this.retryMs, why });
      await new Promise((resolve) => { this.wake = resolve; setTimeout(resolve, this.retryMs); });
      this.retryMs = Math.min(LAST_RETRY_MS, this.retryMs * 1.7);
    }
  }

  async once() {
    const abort = new AbortController();
    let timer = setTimeout(() => abort.abort(), SILENCE_MS);
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    let trouble = "";
    try {
      const response = await this.ask("v1/stream", abort.signal);
      if (response.status === 401) return "token";
      if (!response.ok) return await refusalText(response);
      if (this.token) sessionStorage.setItem("token", this.token);
      this.retryMs = FIRST_RETRY_MS;
      this.past(abort.signal);
      await readEvents(response, { ...this.on, trouble: (text) => { trouble = text; } }, alive);
    } catch (error) {
      if (error instanceof SyntaxError) trouble = "the answer cannot be read; is this page from another version?";
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
    return trouble;
  }

  /** What happened before this page was opened. */
  async past(signal) {
    const since = Date.now() / 1000 - HISTORY_S;
    try {
      const numbers = await this.ask("v1/history", signal);
      if (numbers.ok) this.on.history(await numbers.json());
      const response = await this.ask(`v1/events?since=${since.toFixed(3)}`, signal);
      if (!response.ok) return;
      const lines = (await response.text()).split("\n").filter(Boolean);
      this.on.journal(lines.slice(-decisions.KEPT).map((line) => JSON.parse(line)));
    } catch { /* the stream tells whether the connection is lost */ }
  }
}

async function refusalText(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `it answered ${response.status}`;
  }
}
