// What a run's threads did: a lane for each, drawn on a canvas.

import { h, put, table } from "../dom.js";
import { duration, number } from "../format.js";

const LANE = 20;
const AXIS = 22;
/** Threads whose sums are listed. */
const LISTED = 200;
/** Microseconds across the canvas, at least. */
const SHORTEST = 10;

/** What a thread does, in the words of people. */
const WORDS = {
  running: "runs",
  ready: "is ready, while another runs",
  sleeping: "sleeps",
  lock: "waits for a lock",
  condition: "waits for a condition",
  join: "waits for the end of a thread",
  io: "waits for input or output",
};
/** By colour. */
const LEGEND = { running: "runs", ready: "ready", sleeping: "sleeps", lock: "waits for a lock", io: "waits for input or output" };

/**
 * @typedef {{ begin: number, end: number, activity: keyof typeof WORDS, subject?: number }} Span
 * @typedef {{ number: number, name: string, spans: Span[] }} Thread
 * @typedef {{ attempt: number, end: number, dropped: number, threads: Thread[] }} Timeline
 */

/** @param {Span} span */
const colour = ({ activity }) => (activity === "condition" || activity === "join" ? "lock" : activity);

/**
 * Shows the timeline of the last of these starts, and lets one choose another.
 * @param {import("../main.js").Here} here
 * @param {HTMLElement} root
 * @param {number[]} starts those whose timeline is kept
 * @param {(start: number) => Promise<Timeline>} load
 */
export async function timelines({ signal, fail }, root, starts, load) {
  const last = starts.at(-1);
  root.hidden = last === undefined;
  if (last === undefined) return;
  const lanes = new Lanes(signal);
  const note = h("p", { class: "hint" });
  const sums = h("details", {});
  const show = async (/** @type {number} */ start) => {
    const timeline = await load(start);
    lanes.show(timeline);
    const dropped = timeline.dropped > 0 && `Only its beginning: ${number(timeline.dropped)} further changes were too many. `;
    put(note, dropped, `Times of ${number(timeline.threads.length)} threads, in all ${time(timeline.end)}.`);
    put(sums, h("summary", {}, "Threads and their times"), listed(timeline));
  };
  const choice = h(
    "select",
    { "aria-label": "Start", onchange: () => void show(Number(choice.value)).catch(fail) },
    ...starts.map((start) => h("option", { value: start, selected: start === last }, `Start ${start}`)),
  );
  put(
    root,
    h(
      "div",
      { class: "row head" },
      h("h2", {}, "Timeline"),
      h("span", { class: "space" }),
      h(
        "span",
        { class: "actions" },
        starts.length > 1 && choice,
        h("button", { onclick: () => lanes.zoom(2), "aria-label": "Zoom in" }, "+"),
        h("button", { onclick: () => lanes.zoom(0.5), "aria-label": "Zoom out" }, "−"),
        h("button", { onclick: () => lanes.fit() }, "All"),
      ),
    ),
    h("ul", { class: "legend", "aria-label": "Colours" }, ...Object.entries(LEGEND).map(([kind, name]) => h("li", { class: kind }, name))),
    lanes.element,
    lanes.reading,
    note,
    sums,
  );
  await show(last);
}

/** @param {Timeline} timeline */
function listed({ threads }) {
  const rows = threads.slice(0, LISTED).map(({ name, spans }) => {
    const sum = (/** @type {string[]} */ ...kinds) =>
      time(spans.reduce((all, span) => all + (kinds.includes(span.activity) ? span.end - span.begin : 0), 0));
    return [name, sum("running"), sum("ready"), sum("sleeping"), sum("lock", "condition", "join"), sum("io")];
  });
  const columns = ["Thread", "Ran", "Ready", "Slept", "Locks", "Input, output"];
  const more = threads.length - rows.length;
  return h("div", {}, table("Threads", columns, rows), more > 0 && h("p", { class: "hint" }, `And ${number(more)} more.`));
}

/** @param {number} micros */
const time = (micros) => (micros < 1000 ? `${Math.round(micros)} µs` : micros < 1e5 ? `${(micros / 1000).toFixed(1)} ms` : duration(micros / 1e6));

/** The lanes that can be seen. */
class Lanes {
  /** @type {Timeline} */
  timeline = { attempt: 0, end: 1, dropped: 0, threads: [] };
  from = 0;
  to = 1;
  /** @type {Record<string, string>} */
  colours = {};
  isDue = false;

  /** @param {AbortSignal} signal the view is left */
  constructor(signal) {
    this.canvas = h("canvas", { role: "img" });
    this.spacer = h("div", { class: "spacer" });
    this.element = h("div", { class: "lanes", tabindex: "0", role: "region", "aria-label": "Timeline" }, this.canvas, this.spacer);
    this.reading = h("p", { class: "reading" });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", () => this.readColours(), { signal });
    const resized = new ResizeObserver(() => this.draw());
    resized.observe(this.element);
    signal.addEventListener("abort", () => resized.disconnect());
    this.element.addEventListener("scroll", () => this.draw());
    this.listen();
  }

  /** @param {Timeline} timeline */
  show(timeline) {
    this.timeline = timeline;
    const count = timeline.threads.length;
    const height = count * LANE + AXIS;
    this.spacer.style.height = `${height}px`;
    this.element.style.height = `${Math.min(height, 20 * LANE + AXIS) + 2}px`;
    this.element.scrollTop = 0;
    this.canvas.setAttribute("aria-label", `What ${number(count)} threads did in ${time(timeline.end)}`);
    this.readColours();
    this.fit();
  }

  fit() {
    this.from = 0;
    this.to = Math.max(this.timeline.end, SHORTEST);
    this.draw();
  }

  /**
   * @param {number} factor
   * @param {number} [at] what stays where it is
   */
  zoom(factor, at = (this.from + this.to) / 2) {
    const length = Math.min(Math.max((this.to - this.from) / factor, SHORTEST), this.timeline.end);
    const part = (at - this.from) / (this.to - this.from);
    this.moveTo(at - part * length, length);
  }

  /**
   * Nothing is there before the beginning and after the end.
   * @param {number} from
   * @param {number} [length]
   */
  moveTo(from, length = this.to - this.from) {
    this.from = Math.max(0, Math.min(from, this.timeline.end - length));
    this.to = this.from + length;
    this.draw();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of [...Object.keys(LEGEND), "ink", "edge", "paper"])
      this.colours[name] = style.getPropertyValue(`--${name}`).trim();
    this.draw();
  }

  /** Soon. */
  draw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.paint();
    });
  }

  /** Where lanes begin, beside their names. */
  get gutter() {
    return this.element.clientWidth < 500 ? 62 : 76;
  }

  paint() {
    const { canvas, element, colours, timeline } = this;
    const [width, height, ratio] = [element.clientWidth, element.clientHeight, devicePixelRatio];
    const context = canvas.getContext("2d");
    if (!context || width === 0) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = colours["paper"] ?? "";
    context.fillRect(0, 0, width, height);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const top = element.scrollTop;
    const first = Math.floor(top / LANE);
    const seen = timeline.threads.slice(first, Math.ceil((top + height - AXIS) / LANE));
    seen.forEach((thread, i) => {
      const y = AXIS + (first + i) * LANE - top;
      context.fillStyle = colours["ink"] ?? "";
      context.fillText(thread.name, 6, y + LANE / 2, this.gutter - 10);
      // That a thread ran is seen even where it was brief.
      for (const isRunning of [false, true]) this.paintLane(context, thread, y, width, isRunning);
    });
    this.paintAxis(context, width);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Thread} thread
   * @param {number} y
   * @param {number} width
   * @param {boolean} isRunning
   */
  paintLane(context, { spans }, y, width, isRunning) {
    const scale = (width - this.gutter) / (this.to - this.from);
    for (const span of spans) {
      if ((span.activity === "running") !== isRunning || span.end < this.from || span.begin > this.to) continue;
      const begin = Math.max(span.begin, this.from);
      const wide = Math.max((Math.min(span.end, this.to) - begin) * scale, 1);
      context.fillStyle = this.colours[colour(span)] ?? "";
      // Who waits is thinner than who runs, so that colour is not all that tells them apart.
      const thin = isRunning ? 1 : span.activity === "ready" ? 4 : 7;
      context.fillRect(this.gutter + (begin - this.from) * scale, y + thin, wide, LANE - 2 * thin);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} width
   */
  paintAxis(context, width) {
    const { from, to, gutter, colours } = this;
    context.fillStyle = colours["paper"] ?? "";
    context.fillRect(0, 0, width, AXIS);
    context.fillStyle = colours["ink"] ?? "";
    const step = round((to - from) / Math.max(2, (width - gutter) / 100));
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const x = gutter + ((at - from) / (to - from)) * (width - gutter);
      context.fillRect(x, AXIS - 5, 1, 5);
      const text = mark(at, step);
      if (x + context.measureText(text).width + 4 < width) context.fillText(text, x + 4, AXIS / 2);
    }
    context.fillStyle = colours["edge"] ?? "";
    context.fillRect(0, AXIS - 1, width, 1);
  }

  /**
   * Says what is at a point of the canvas.
   * @param {{ x: number, y: number }} point
   */
  read({ x, y }) {
    const thread = y < AXIS ? undefined : this.timeline.threads[Math.floor((y - AXIS + this.element.scrollTop) / LANE)];
    const at = this.timeAt(x);
    // The one that is nearest: many are narrower than a finger.
    const far = (/** @type {Span} */ { begin, end }) => Math.max(begin - at, at - end, 0);
    const nearest = thread?.spans.reduce((best, span) => (far(span) < far(best) ? span : best), /** @type {Span} */ (thread.spans[0]));
    if (!thread || !nearest || x < this.gutter) return put(this.reading);
    const { begin, end, activity, subject } = nearest;
    const what = subject === undefined ? WORDS[activity] : `${WORDS[activity]} (0x${subject.toString(16)})`;
    put(this.reading, h("strong", {}, thread.name), ` ${what}: ${time(end - begin)}, from ${time(begin)}`);
  }

  /** @param {number} x */
  timeAt(x) {
    return this.from + ((x - this.gutter) / (this.element.clientWidth - this.gutter)) * (this.to - this.from);
  }

  listen() {
    const { canvas, element } = this;
    const place = (/** @type {MouseEvent} */ event) => {
      const box = canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    /** @type {{ x: number, from: number } | null} */
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, from: this.from };
      this.read(place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (drag && event.buttons) this.moveTo(drag.from - ((event.clientX - drag.x) * (this.to - this.from)) / (element.clientWidth - this.gutter));
      else this.read(place(event));
    });
    element.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY / 200), this.timeAt(place(event).x));
      },
      { passive: false },
    );
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const part = (this.to - this.from) / 10;
      /** @type {Record<string, () => void>} */
      const keys = {
        ArrowLeft: () => this.moveTo(this.from - part),
        ArrowRight: () => this.moveTo(this.from + part),
        "+": () => this.zoom(2),
        "=": () => this.zoom(2),
        "-": () => this.zoom(0.5),
        0: () => this.fit(),
      };
      const action = keys[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
  }
}

/**
 * 1, 2 or 5 times a power of ten, not below.
 * @param {number} micros
 */
function round(micros) {
  const power = 10 ** Math.floor(Math.log10(micros));
  return ([1, 2, 5].find((factor) => factor * power >= micros) ?? 10) * power;
}

/**
 * @param {number} micros
 * @param {number} step
 */
function mark(micros, step) {
  const [unit, name] = step >= 1e5 ? [1e6, "s"] : step >= 100 ? [1e3, "ms"] : [1, "µs"];
  const digits = Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9));
  return `${(micros / unit).toFixed(Math.min(3, digits))} ${name}`;
}
