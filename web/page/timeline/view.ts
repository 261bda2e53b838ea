// Draws the lanes that can be seen, on a canvas, and lets one move about in them.

import { describe, type Change, type Lane, type Timeline } from "./model.ts";

const GUTTER = 76;
const AXIS = 22;
const HEIGHTS = [2, 5, 10, 18, 28];
const LABELS_FROM = 10;
/** Nanoseconds across the canvas, at least and at most. */
const SHORTEST = 1_000;
const LONGEST = 3_600e9;
const FRAME_MS = 40;
/** While nothing happens but that time goes on. */
const QUIET_FRAME_MS = 250;

type Kind = "running" | "ready" | "asleep" | "lock" | "io" | "over";

function kindOf(change: Change): Kind {
  switch (change) {
    case "running":
      return "running";
    case "spawned":
    case "ready":
    case "yield":
    case "preempt":
      return "ready";
    case "sleep":
      return "asleep";
    case "io":
      return "io";
    case "finished":
    case "exit":
      return "over";
    default:
      return "lock";
  }
}

export class TimelineView {
  timeline: Timeline;
  /** A lane was chosen. */
  onChoose: (lane: Lane) => void = () => {};
  #scroller: HTMLElement;
  #spacer: HTMLElement;
  #canvas: HTMLCanvasElement;
  #option: HTMLElement;
  #context: CanvasRenderingContext2D;
  #colors: Record<string, string> = {};
  #height = HEIGHTS.indexOf(18);
  /** The times at both ends; null: all of them. */
  #span: { from: number; to: number } | null = null;
  #chosen: Lane | null = null;
  #pointer: { x: number; y: number } | null = null;
  #isDue = false;
  #drawn = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(scroller: HTMLElement, timeline: Timeline) {
    this.timeline = timeline;
    this.#scroller = scroller;
    this.#spacer = scroller.querySelector<HTMLElement>(".spacer") ?? scroller;
    this.#canvas = scroller.querySelector("canvas") ?? document.createElement("canvas");
    this.#option = scroller.querySelector<HTMLElement>("[role=option]") ?? scroller;
    const context = this.#canvas.getContext("2d");
    if (!context) throw new Error("this browser draws no canvas");
    this.#context = context;
    this.#readColors();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#readColors();
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(scroller);
    document.addEventListener("visibilitychange", () => this.draw());
    scroller.addEventListener("scroll", () => this.draw());
    this.#listen();
  }

  /** Another run's. */
  show(timeline: Timeline): void {
    this.timeline = timeline;
    this.#chosen = null;
    this.#span = null;
    this.#scroller.scrollTop = 0;
    this.draw();
  }

  get span(): { from: number; to: number } {
    return this.#span ?? { from: 0, to: Math.max(this.timeline.now, SHORTEST) };
  }

  get chosen(): Lane | null {
    return this.#chosen;
  }

  /** How many lanes can be seen, for tests. */
  get drawnLanes(): number {
    return this.#drawn;
  }

  zoom(factor: number, at?: number): void {
    const { from, to } = this.span;
    const middle = at ?? (from + to) / 2;
    const length = Math.min(LONGEST, Math.max(SHORTEST, (to - from) / factor));
    if (length >= this.timeline.now && factor < 1) return this.fit();
    const start = Math.max(0, middle - ((middle - from) / (to - from)) * length);
    this.#span = { from: start, to: start + length };
    this.draw();
  }

  fit(): void {
    this.#span = null;
    this.draw();
  }

  /** By a part of what can be seen. */
  move(part: number): void {
    const { from, to } = this.span;
    const start = Math.max(0, from + part * (to - from));
    this.#span = { from: start, to: start + to - from };
    this.draw();
  }

  /** Makes lanes higher (1) or lower (-1). */
  stretch(by: number): void {
    const first = this.#scroller.scrollTop / this.#laneHeight;
    this.#height = Math.min(HEIGHTS.length - 1, Math.max(0, this.#height + by));
    this.#resize();
    this.#scroller.scrollTop = first * this.#laneHeight;
    this.draw();
  }

  choose(number: number): void {
    const lane = this.timeline.lanes[Math.min(this.timeline.lanes.length - 1, Math.max(0, number))];
    if (!lane) return;
    this.#chosen = lane;
    const top = lane.number * this.#laneHeight;
    const seen = this.#scroller.clientHeight - AXIS - this.#laneHeight;
    const { scrollTop } = this.#scroller;
    if (top < scrollTop) this.#scroller.scrollTop = top;
    else if (top > scrollTop + seen) this.#scroller.scrollTop = top - seen;
    this.#option.textContent = `${lane.name}: ${this.#stateOf(lane, lane.times.length - 1)}`;
    this.onChoose(lane);
    this.draw();
  }

  /** Draws soon. */
  draw(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#paint();
      // While time goes on, so does what can be seen.
      clearTimeout(this.#timer);
      if (this.timeline.isHeld || document.hidden) return;
      this.#timer = setTimeout(() => this.draw(), this.timeline.isQuiet ? QUIET_FRAME_MS : FRAME_MS);
    });
  }

  get #laneHeight(): number {
    return HEIGHTS[this.#height];
  }

  #stateOf(lane: Lane, index: number): string {
    return index < 0 ? "not there yet" : describe(lane.change(index), lane.subject(index));
  }

  #readColors(): void {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["running", "ready", "asleep", "lock", "io", "over", "ink", "faint", "edge", "paper", "chosen"])
      this.#colors[name] = style.getPropertyValue(`--${name}`).trim();
  }

  // ---- drawing ----

  #resize(): { width: number; height: number } {
    const width = this.#scroller.clientWidth;
    const height = this.#scroller.clientHeight;
    const ratio = devicePixelRatio;
    this.#spacer.style.height = `${this.timeline.lanes.length * this.#laneHeight + AXIS}px`;
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== Math.round(height * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(height * ratio);
      this.#canvas.style.width = `${width}px`;
      this.#canvas.style.height = `${height}px`;
    }
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { width, height };
  }

  #paint(): void {
    const { width, height } = this.#resize();
    const context = this.#context;
    context.fillStyle = this.#colors["paper"];
    context.fillRect(0, 0, width, height);
    const laneHeight = this.#laneHeight;
    const top = this.#scroller.scrollTop;
    const first = Math.floor(top / laneHeight);
    const last = Math.min(this.timeline.lanes.length, Math.ceil((top + height - AXIS) / laneHeight));
    this.#drawn = Math.max(0, last - first);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (let i = first; i < last; i++) {
      const lane = this.timeline.lanes[i];
      const y = AXIS + i * laneHeight - top;
      if (lane === this.#chosen) {
        context.fillStyle = this.#colors["chosen"];
        context.fillRect(0, y, width, laneHeight);
      }
      if (laneHeight >= LABELS_FROM) {
        context.fillStyle = this.#colors["ink"];
        context.fillText(lane.name, 6, y + laneHeight / 2, GUTTER - 10);
      }
      this.#paintLane(lane, y, width);
    }
    if (this.timeline.lanes.length === 0) {
      context.fillStyle = this.#colors["faint"];
      context.fillText("Each thread of a program has a lane here.", 12, AXIS + 14);
      return;
    }
    this.#paintAxis(width);
    this.#paintPointer(width, height);
  }

  #paintLane(lane: Lane, y: number, width: number): void {
    const context = this.#context;
    const { from, to } = this.span;
    const scale = (width - GUTTER) / (to - from);
    const end = lane.isOver ? lane.times[lane.times.length - 1] : this.timeline.now;
    const gap = this.#laneHeight >= LABELS_FROM ? 2 : this.#laneHeight > 2 ? 1 : 0;
    const inner = this.#laneHeight - gap;
    const count = lane.times.length;
    for (let i = Math.max(0, lane.at(from)); i < count && lane.times[i] < Math.min(to, end); ) {
      const begin = Math.max(lane.times[i], from);
      const until = Math.min(i + 1 < count ? lane.times[i + 1] : end, to);
      const x = GUTTER + (begin - from) * scale;
      let wide = (until - begin) * scale;
      let kind = kindOf(lane.change(i));
      let next = i + 1;
      if (wide < 1) {
        // All that lies in this pixel is one mark; that it ran matters most.
        next = Math.max(next, lane.at(begin + 1 / scale, i));
        wide = 1;
        for (let j = i; j < Math.min(next, i + 4); j++) if (lane.change(j) === "running") kind = "running";
      }
      i = next;
      if (kind === "over") continue;
      context.fillStyle = this.#colors[kind];
      // Who waits is thinner than who runs, so that colour is not all that tells them apart.
      const thin = kind === "running" || inner < 6 ? 0 : kind === "ready" ? inner * 0.15 : inner * 0.3;
      context.fillRect(x, y + thin, wide, inner - 2 * thin);
    }
  }

  #paintAxis(width: number): void {
    const context = this.#context;
    const { from, to } = this.span;
    context.fillStyle = this.#colors["paper"];
    context.fillRect(0, 0, width, AXIS);
    context.fillStyle = this.#colors["ink"];
    const step = roundStep((to - from) / Math.max(2, (width - GUTTER) / 110));
    for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
      const x = GUTTER + ((time - from) / (to - from)) * (width - GUTTER);
      context.fillRect(x, AXIS - 5, 1, 5);
      const text = showTime(time, step);
      if (x + context.measureText(text).width + 4 < width) context.fillText(text, x + 4, AXIS / 2);
    }
    context.fillStyle = this.#colors["edge"];
    context.fillRect(0, AXIS - 1, width, 1);
  }

  /** What is under the pointer, in words. */
  #paintPointer(width: number, height: number): void {
    if (!this.#pointer) return;
    const { x, y } = this.#pointer;
    const lane = this.#laneAt(y);
    if (!lane || x < GUTTER) return;
    const time = this.#timeAt(x);
    const index = time > this.timeline.now ? -1 : lane.at(time);
    const text = `${lane.name}: ${this.#stateOf(lane, index)}, ${showTime(time, (this.span.to - this.span.from) / 1000)}`;
    const context = this.#context;
    const wide = context.measureText(text).width + 12;
    const left = Math.min(Math.max(x + 10, GUTTER), Math.max(0, width - wide));
    const top = Math.min(y + 14, height - 22);
    context.fillStyle = this.#colors["ink"];
    context.fillRect(left, top, wide, 20);
    context.fillStyle = this.#colors["paper"];
    context.fillText(text, left + 6, top + 10);
  }

  // ---- moving about ----

  #laneAt(y: number): Lane | undefined {
    if (y < AXIS) return undefined;
    return this.timeline.lanes[Math.floor((y - AXIS + this.#scroller.scrollTop) / this.#laneHeight)];
  }

  #timeAt(x: number): number {
    const { from, to } = this.span;
    return from + ((x - GUTTER) / (this.#scroller.clientWidth - GUTTER)) * (to - from);
  }

  #listen(): void {
    const scroller = this.#scroller;
    let drag: { x: number; from: number; to: number; moved: boolean } | null = null;
    const place = (event: PointerEvent | WheelEvent) => {
      const box = this.#canvas.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    scroller.addEventListener(
      "wheel",
      (event) => {
        if (event.ctrlKey || event.metaKey) {
          event.preventDefault();
          this.zoom(Math.exp(-event.deltaY / 200), this.#timeAt(place(event).x));
        } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
          event.preventDefault();
          this.move((event.deltaX || event.deltaY) / scroller.clientWidth);
        }
      },
      { passive: false },
    );
    this.#canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, ...this.span, moved: false };
    });
    this.#canvas.addEventListener("pointermove", (event) => {
      this.#pointer = place(event);
      if (drag && event.buttons === 1) {
        const by = ((event.clientX - drag.x) / (scroller.clientWidth - GUTTER)) * (drag.to - drag.from);
        if (drag.moved || Math.abs(event.clientX - drag.x) > 4) {
          drag.moved = true;
          const start = Math.max(0, drag.from - by);
          this.#span = { from: start, to: start + drag.to - drag.from };
        }
      }
      this.draw();
    });
    this.#canvas.addEventListener("pointerleave", () => {
      this.#pointer = null;
      this.draw();
    });
    this.#canvas.addEventListener("click", (event) => {
      const lane = drag?.moved ? undefined : this.#laneAt(place(event as PointerEvent).y);
      drag = null;
      if (lane) this.choose(lane.number);
    });
    scroller.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const page = Math.max(1, Math.floor((scroller.clientHeight - AXIS) / this.#laneHeight) - 1);
      const chosen = this.#chosen?.number ?? -1;
      const keys: Record<string, () => void> = {
        ArrowDown: () => this.choose(chosen + 1),
        ArrowUp: () => this.choose(chosen - 1),
        PageDown: () => this.choose(chosen + page),
        PageUp: () => this.choose(chosen - page),
        Home: () => this.choose(0),
        End: () => this.choose(this.timeline.lanes.length - 1),
        Enter: () => this.choose(chosen),
        ArrowLeft: () => this.move(-0.1),
        ArrowRight: () => this.move(0.1),
        "+": () => this.zoom(1.5),
        "=": () => this.zoom(1.5),
        "-": () => this.zoom(1 / 1.5),
        "0": () => this.fit(),
      };
      const action = keys[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
  }
}

/** 1, 2 or 5 times a power of ten, not below. */
function roundStep(nanos: number): number {
  const power = 10 ** Math.floor(Math.log10(nanos));
  return ([1, 2, 5].find((factor) => factor * power >= nanos) ?? 10) * power;
}

function showTime(nanos: number, step: number): string {
  const [unit, name] = step >= 1e8 ? [1e9, "s"] : step >= 1e5 ? [1e6, "ms"] : [1e3, "µs"];
  const digits = Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9));
  return `${(nanos / unit).toFixed(Math.min(3, digits))} ${name}`;
}
