// The page: an editor, a console, and what the threads do.

import { createPython, whatIsMissing, type Outcome, type Python, type Run } from "../host/src/index.ts";
import { Console } from "./console.ts";
import { Editor } from "./editor.ts";
import { codeOf, EXAMPLES } from "./examples.ts";
import { DroppedFiles } from "./files.ts";
import { fromHash, toHash } from "./link.ts";
import { describe, Timeline, type Lane } from "./timeline/model.ts";
import { TimelineView } from "./timeline/view.ts";

/** After an interrupt a program may take so long to end; then it is killed. */
const GRACE_MS = 1000;
/** How often the stack of the chosen thread is asked for. */
const STACK_MS = 500;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const status = element("status");
const tell = (message: string) => {
  status.textContent = message;
};
const example = element<HTMLSelectElement>("example");
const runButton = element<HTMLButtonElement>("run");
const stopButton = element<HTMLButtonElement>("stop");
const pauseButton = element<HTMLButtonElement>("pause");
const replButton = element<HTMLButtonElement>("repl");
const progress = element<HTMLProgressElement>("progress");

const terminal = new Console(element("console"));
const editor = new Editor(element("editor"), () => void runProgram());
const dropped = new DroppedFiles(element("files"), element<HTMLInputElement>("add-files"), tell);
const nothing = new Timeline();
nothing.hold(true);
const view = new TimelineView(element("timeline"), nothing);

let python: Python | null = null;
let current: { run: Run; isRepl: boolean; timeline: Timeline; isPaused: boolean } | null = null;

// ---- runs ----

function describeOutcome(outcome: Outcome): string {
  switch (outcome.type) {
    case "exited":
      return outcome.code === 0 ? "Done" : `Ended with exit code ${outcome.code}`;
    case "deadlocked":
      return "Deadlock: all threads wait for each other";
    case "trapped":
      return `Python broke down: ${outcome.message}`;
    case "killed":
      return "Stopped";
  }
}

/** Starts a program, or a REPL if there is none, in place of what runs. */
async function start(code: string | null): Promise<void> {
  if (!python) return;
  current?.run.kill();
  terminal.clear();
  const timeline = new Timeline();
  view.show(timeline);
  showLane(null);
  const options = {
    files: dropped.files,
    isTerminal: true,
    env: { PYTHON_BASIC_REPL: "1" },
    stdout: (bytes: Uint8Array) => terminal.write(bytes),
    stderr: (bytes: Uint8Array) => terminal.write(bytes),
    trace: (events: Float64Array) => {
      timeline.add(events);
      view.draw();
    },
  };
  const run = code === null ? python.start(["-i"], options) : python.run(code, options);
  const own = { run, isRepl: code === null, timeline, isPaused: false };
  current = own;
  tell(own.isRepl ? "Ready" : "Running…");
  showButtons();
  let end: string;
  try {
    const { outcome, usage } = await run.report;
    const seconds = (usage.wallTime / 1000).toFixed(2);
    const threads = usage.threads === 1 ? "1 thread" : `${usage.threads} threads`;
    end = `${describeOutcome(outcome)}, after ${seconds} s; ${threads}`;
  } catch (error) {
    end = error instanceof Error ? error.message : String(error);
  }
  timeline.hold(true);
  // What it wrote last is on its way to the screen.
  await terminal.write("");
  if (current !== own) return;
  current = null;
  tell(timeline.isFull ? `${end}. The timeline has its first two million changes` : end);
  showButtons();
}

const runProgram = () => start(editor.text);

function showButtons(): void {
  runButton.disabled = replButton.disabled = python === null;
  stopButton.disabled = pauseButton.disabled = current === null;
  pauseButton.textContent = current?.isPaused ? "Resume" : "Pause";
}

function pause(): void {
  if (!current) return;
  current.isPaused = !current.isPaused;
  current.run.pause(current.isPaused);
  current.timeline.hold(current.isPaused);
  tell(current.isPaused ? "Paused: choose a thread to see its stack" : "Running…");
  showButtons();
  view.draw();
}

function stop(): void {
  const stopped = current;
  if (!stopped) return;
  stopped.run.interrupt();
  if (stopped.isPaused) pause();
  if (stopped.isRepl) stopped.run.write(null);
  setTimeout(() => stopped.run.kill(), GRACE_MS);
}

terminal.listener = {
  line: (text) => {
    if (!current) void start(null);
    current?.run.write(new TextEncoder().encode(text));
  },
  interrupt: () => current?.run.interrupt(),
  end: () => current?.run.write(null),
};
runButton.addEventListener("click", () => void runProgram());
stopButton.addEventListener("click", stop);
pauseButton.addEventListener("click", pause);
replButton.addEventListener("click", () => {
  void start(null);
  terminal.focus();
});

// ---- the timeline ----

const laneName = element("lane");
const laneState = element("lane-state");
const frames = element("frames");
let asked = 0;

function showLane(lane: Lane | null): void {
  laneName.textContent = lane ? `Stack of ${lane.name}` : "Stack";
  laneState.textContent = lane ? "" : "Choose a thread in the timeline";
  frames.replaceChildren();
}

async function showStack(lane: Lane): Promise<void> {
  asked = performance.now();
  const last = lane.times.length - 1;
  laneName.textContent = `Stack of ${lane.name}`;
  laneState.textContent = describe(lane.change(last), lane.subject(last));
  const isCurrent = () => view.chosen === lane && current?.timeline.lanes[lane.number] === lane;
  const stack = isCurrent() && !lane.isOver ? await current?.run.stack(lane.fiber) : [];
  if (view.chosen !== lane) return;
  const items = (stack ?? []).map(({ file, line, name }) => {
    const item = document.createElement("li");
    const place = `${file.replace(/^.*\/(?=[^/]+\/?$)/, "")}:${line}`;
    if (/(^|\/)main\.py$/.test(file)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = place;
      button.addEventListener("click", () => editor.goTo(line));
      item.append(`${name}, `, button);
    } else item.textContent = `${name}, ${place}`;
    return item;
  });
  if (items.map((item) => item.textContent).join() !== [...frames.children].map((item) => item.textContent).join())
    frames.replaceChildren(...items);
}

view.onChoose = (lane) => void showStack(lane);
setInterval(() => {
  const lane = view.chosen;
  if (lane && current && !current.isPaused && performance.now() - asked >= STACK_MS) void showStack(lane);
}, STACK_MS);
element("zoom-in").addEventListener("click", () => view.zoom(2));
element("zoom-out").addEventListener("click", () => view.zoom(0.5));
element("fit").addEventListener("click", () => view.fit());
element("higher").addEventListener("click", () => view.stretch(1));
element("lower").addEventListener("click", () => view.stretch(-1));

// ---- programs ----

for (const [index, { name }] of EXAMPLES.entries()) example.add(new Option(name, String(index)));
example.addEventListener("change", () => {
  editor.text = codeOf(EXAMPLES[Number(example.value)]);
});
element("link").addEventListener("click", async () => {
  history.replaceState(null, "", await toHash(editor.text));
  try {
    await navigator.clipboard.writeText(location.href);
    tell("The link is in the clipboard");
  } catch {
    tell("The page's address is the link now");
  }
});

async function readHash(): Promise<boolean> {
  try {
    const code = await fromHash(location.hash);
    if (code !== null) editor.text = code;
    return code !== null;
  } catch {
    tell("The link is damaged: it has no program");
    return false;
  }
}
addEventListener("hashchange", () => void readHash());

// ---- the start ----

async function load(): Promise<void> {
  if (!(await readHash())) editor.text = codeOf(EXAMPLES[0]);
  const missing = whatIsMissing();
  if (missing) {
    element("missing").textContent = missing;
    element("missing").hidden = false;
    tell("Programs cannot run in this browser");
    return;
  }
  tell("Loading Python…");
  python = await createPython({
    base: "./python/",
    onProgress: (loaded, total) => {
      progress.max = total;
      progress.value = loaded;
    },
  });
  // For tests, and for who is curious in the console.
  Object.assign(globalThis, { python, terminal, view, editor });
  void start(null);
}

try {
  await load();
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
}
progress.hidden = true;
