// The page: a program, its output, run and stop.

import { createPython, type Outcome, type Python, type Run } from "../host/src/index.ts";
import { EXAMPLES } from "./examples.ts";

/** After an interrupt a program may take so long to end; then it is killed. */
const GRACE_MS = 1000;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const form = element<HTMLFormElement>("program");
const example = element<HTMLSelectElement>("example");
const code = element<HTMLTextAreaElement>("code");
const runButton = element<HTMLButtonElement>("run");
const stopButton = element<HTMLButtonElement>("stop");
const status = element("status");
const progress = element<HTMLProgressElement>("progress");
const output = element("output");

for (const [index, { name }] of EXAMPLES.entries()) example.add(new Option(name, String(index)));
const choose = () => {
  code.value = EXAMPLES[Number(example.value)].code;
};
example.addEventListener("change", choose);
choose();

let python: Python | null = null;
let current: Run | null = null;

/** Shows what a stream writes, which may end in the middle of a character. */
function stream(name: "stdout" | "stderr"): (bytes: Uint8Array) => void {
  const decoder = new TextDecoder();
  return (bytes) => {
    const span = document.createElement("span");
    span.className = name;
    span.textContent = decoder.decode(bytes, { stream: true });
    output.append(span);
    output.scrollTop = output.scrollHeight;
  };
}

function describe(outcome: Outcome): string {
  switch (outcome.type) {
    case "exited":
      return outcome.code === 0 ? "Done" : `Ended with exit code ${outcome.code}`;
    case "deadlocked":
      return "Deadlock: every thread waits for another one";
    case "trapped":
      return `Python broke down: ${outcome.message}`;
    case "killed":
      return "Stopped";
  }
}

async function start(): Promise<void> {
  if (!python || current) return;
  output.replaceChildren();
  status.textContent = "Running…";
  runButton.disabled = true;
  stopButton.disabled = false;
  current = python.run(code.value, { stdin: "", stdout: stream("stdout"), stderr: stream("stderr") });
  try {
    const { outcome, usage } = await current.report;
    const seconds = (usage.wallTime / 1000).toFixed(2);
    status.textContent = `${describe(outcome)}, after ${seconds} s; ${usage.threads} threads`;
  } catch (error) {
    status.textContent = String(error);
  }
  current = null;
  runButton.disabled = false;
  stopButton.disabled = true;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void start();
});

stopButton.addEventListener("click", () => {
  const run = current;
  run?.interrupt();
  setTimeout(() => run?.kill(), GRACE_MS);
});

try {
  python = await createPython({
    base: "./python/",
    onProgress: (loaded, total) => {
      if (total > 0) {
        progress.max = total;
        progress.value = Math.min(loaded, total);
      }
    },
  });
  status.textContent = "Ready";
  runButton.disabled = false;
  // For tests, and for who is curious in the console.
  Object.assign(globalThis, { python });
} catch (error) {
  status.textContent = error instanceof Error ? error.message : String(error);
}
progress.hidden = true;
