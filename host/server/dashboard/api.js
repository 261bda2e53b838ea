// The service's API, under /v1.

// Not in a cookie: a browser sends those by itself, for other sites' pages too. It is gone with its tab.
const KEY = "vtwasm-token";

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  /** @param {string} value */
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** What the service says is wrong. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/**
 * A path with what follows its question mark; what is empty is left out.
 * @param {string} path
 * @param {Record<string, string | null | undefined>} query
 */
export function address(path, query) {
  const given = Object.entries(query).flatMap(([name, value]) => (value ? [[name, value]] : []));
  const text = new URLSearchParams(given).toString();
  return text ? `${path}?${text}` : path;
}

/**
 * @typedef {{ body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} Asking
 * @param {string} method
 * @param {string} path under /v1
 * @param {Asking} [asking]
 */
export async function send(method, path, { body, headers = {}, signal } = {}) {
  const raw = body instanceof Blob;
  const response = await fetch(`v1/${path}`, {
    method,
    signal: signal ?? null,
    headers: {
      Authorization: `Bearer ${token.get()}`,
      ...(body === undefined ? {} : { "Content-Type": raw ? "application/octet-stream" : "application/json" }),
      ...headers,
    },
    body: body === undefined ? null : raw ? body : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Problem(response.status, String(problem.detail ?? `the service answered ${response.status}`));
}

/**
 * The answer, from JSON.
 * @param {string} method
 * @param {string} path
 * @param {Asking} [asking]
 * @returns {Promise<any>}
 */
export async function ask(method, path, asking) {
  const response = await send(method, path, asking);
  return response.status === 204 ? null : response.json();
}

/**
 * Events, as they come, until the service has no more. EventSource cannot send a token.
 * @param {string} path
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<{ name: string, data: any }>}
 */
export async function* follow(path, signal) {
  let last = "";
  for (;;) {
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
      const response = await send("GET", path, { headers, signal });
      for await (const event of events(response)) {
        last = event.id || last;
        yield event;
      }
      return;
    } catch (error) {
      // A connection that broke is made anew, and goes on where it was.
      if (signal.aborted || (error instanceof Problem && error.status < 500)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

/** @param {Response} response */
async function* events(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = { id: "", name: "message", data: "" };
      for (const line of block.split("\n")) {
        const [, name, rest] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (name === "event") event.name = rest ?? "";
        else if (name === "id") event.id = rest ?? "";
        else if (name === "data") event.data += rest;
      }
      if (event.data) yield { ...event, data: JSON.parse(event.data) };
    }
  }
}
