// What a run writes, as it comes.

import { h, put, save } from "../dom.js";

/** Characters that are kept on the page. */
const LONGEST = 1_000_000;

export class Log {
  length = 0;
  attempt = 0;

  /**
   * @param {() => Promise<Blob>} load all of it
   * @param {string} name of the file for it
   * @param {(error: unknown) => void} fail
   */
  constructor(load, name, fail) {
    this.pre = h("pre", { class: "log panel", tabindex: "0", role: "log", "aria-label": "Output" });
    this.note = h("p", { class: "hint" });
    const keep = () => load().then((blob) => save(blob, name), fail);
    this.element = h(
      "section",
      {},
      h("div", { class: "row head" }, h("h2", {}, "Output"), h("span", { class: "space" }), h("button", { onclick: keep }, "Save")),
      this.pre,
      this.note,
    );
    this.clear();
  }

  clear() {
    put(this.pre);
    this.length = 0;
    this.attempt = 0;
    this.note.textContent = "Nothing yet.";
  }

  /** @param {{ attempt: number, stream: string, text: string }} piece */
  add({ attempt, stream, text }) {
    const { pre } = this;
    const wasAtEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 40;
    if (attempt !== this.attempt) {
      if (attempt > 1) pre.append(h("span", { class: "start" }, `— start ${attempt} —\n`));
      this.attempt = attempt;
    }
    const last = pre.lastElementChild;
    if (last?.className === stream) last.append(text);
    else pre.append(h("span", { class: stream }, text));
    this.length += text.length;
    this.note.textContent = "";
    this.shorten();
    if (wasAtEnd) pre.scrollTop = pre.scrollHeight;
  }

  /** Nothing more comes. */
  end() {
    if (this.length === 0) this.note.textContent = "It wrote nothing.";
  }

  shorten() {
    while (this.length > LONGEST) {
      const first = this.pre.firstElementChild;
      const text = first?.firstChild;
      if (!first || !text) break;
      this.length -= text.textContent?.length ?? 0;
      text.remove();
      if (!first.hasChildNodes()) first.remove();
      this.note.textContent = "Only the end is shown here; Save has all of it.";
    }
  }
}
