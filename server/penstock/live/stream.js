// The stream of events, by fetch: an EventSource could not send the admin token.

const SILENT_MS = 5000; // clients come every second
const RETRY_MS = [500, 1000, 2000, 5000];

// One after the other: {kind, id, data} of what a response's body says.
async function* decode(body, onChunk) {
  let text = "";
  for await (const chunk of chunks(body.pipeThrough(new TextDecoderStream()))) {
    onChunk();
    text += chunk;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map(field));
      if (fields.has("data")) {
        const data = JSON.parse(fields.get("data"));
        yield { kind: fields.get("event"), id: fields.get("id"), data };
      }
    }
  }
}

function field(line) {
  const at = line.indexOf(": ");
  return [line.slice(0, at), line.slice(at + 2)];
}

async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export class Stream {
  // handlers: event(kind, data), state(text, isBad), token(wasWrong) -> promise of one.
  constructor(handlers) {
    this.handlers = handlers;
    this.token = sessionStorage.getItem("token");
    this.find = "";
    this.last = "0";
    this.tries = 0;
    this.abort = null;
  }

  headers() {
    return this.token ? { authorization: `Bearer ${this.token}` } : {};
  }

  // From now on only clients with this text in their id or group.
  seek(find) {
    this.find = find;
    this.tries = 0;
    this.abort?.abort();
  }

  async run() {
    for (;;) {
      try {
        await this.follow();
        this.handlers.state("the server has ended", true);
      } catch (error) {
        if (error.name !== "AbortError") {
          this.handlers.state(`no connection: ${error.message}`, true);
        }
      }
      await pause(RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)]);
      this.tries += 1;
    }
  }

  async follow() {
    const find = this.find;
    const abort = new AbortController();
    this.abort = abort;
    let silence = 0;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(new Error("silence")), SILENT_MS);
    };
    heard();
    try {
      const path = `/events?clients=true&find=${encodeURIComponent(find)}`;
      const headers = { ...this.headers(), "last-event-id": this.last };
      const response = await this.ask(path, { headers, signal: abort.signal });
      for await (const { kind, id, data } of decode(response.body, heard)) {
        this.last = id ?? this.last;
        this.tries = 0;
        this.handlers.event(kind, data);
      }
    } finally {
      clearTimeout(silence);
    }
  }

  // A response that is a success; asks for the token where that is what lacks.
  async ask(path, options) {
    const response = await fetch(path, { ...options, cache: "no-store" });
    if (response.ok) {
      return response;
    }
    if (response.status === 401) {
      this.token = await this.handlers.token(this.token !== null);
      sessionStorage.setItem("token", this.token);
      this.tries = 0;
      throw new Error("once more, with the token");
    }
    throw new Error(await reasons(response));
  }

  async setLimit(client_id, target_bps) {
    const headers = { ...this.headers(), "content-type": "application/json" };
    const body = JSON.stringify({ client_id, target_bps });
    await this.ask("/config", { method: "POST", headers, body });
  }
}

async function reasons(response) {
  try {
    const { detail } = await response.json();
    return Array.isArray(detail) ? detail.map((one) => one.msg).join("; ") : detail;
  } catch {
    return `status ${response.status}`;
  }
}
