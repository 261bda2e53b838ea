// The terminal: shows what programs write, and lets one type lines for them.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { Line } from "./line.ts";

export interface Listener {
  /** A line that was typed. */
  line(text: string): void;
  interrupt(): void;
  /** The end of the input. */
  end(): void;
}

export class Console {
  listener: Listener | null = null;
  #terminal: Terminal;
  #line = new Line();
  /** The column where the line that is being typed begins; null: nothing is on the screen of it. */
  #start: number | null = null;
  /** Rows from there to the cursor. */
  #row = 0;

  constructor(element: HTMLElement) {
    this.#terminal = new Terminal({
      convertEol: true,
      fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace",
      fontSize: 14,
      // Less cuts underscores off.
      lineHeight: 1.2,
      screenReaderMode: true,
      scrollback: 10_000,
      cursorBlink: false,
    });
    const fit = new FitAddon();
    this.#terminal.loadAddon(fit);
    this.#terminal.open(element);
    this.#terminal.textarea?.setAttribute("aria-label", "Console input");
    new ResizeObserver(() => fit.fit()).observe(element);
    this.#useTheme();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#useTheme());
    this.#terminal.onData((data) => this.#terminal.write("", () => this.#type(data)));
    this.#terminal.attachCustomKeyEventHandler((event) => this.#isOurs(event));
  }

  clear(): void {
    this.#line = new Line();
    this.#start = null;
    this.#terminal.reset();
  }

  focus(): void {
    this.#terminal.focus();
  }

  /** Resolves when it is on the screen. */
  write(bytes: Uint8Array | string): Promise<void> {
    return new Promise((resolve) => {
      this.#terminal.write(this.#erase());
      this.#terminal.write(bytes, () => {
        if (this.#line.text !== "" && this.#start === null) this.#show();
        resolve();
      });
    });
  }

  /** All that is there, for tests. */
  get text(): string {
    const buffer = this.#terminal.buffer.active;
    let text = "";
    for (let i = 0; i < buffer.length; i++) {
      const line = buffer.getLine(i);
      if (i > 0 && !line?.isWrapped) text += "\n";
      text += line?.translateToString(!buffer.getLine(i + 1)?.isWrapped) ?? "";
    }
    return text.trimEnd();
  }

  /** Tab leaves the terminal while nothing is typed; a copy is no interrupt. */
  #isOurs(event: KeyboardEvent): boolean {
    if (event.key === "Tab" && (event.shiftKey || this.#line.text === "")) return false;
    return !(event.ctrlKey && event.key === "c" && this.#terminal.hasSelection());
  }

  #type(data: string): void {
    this.#terminal.write(this.#erase(), () => {
      // A line at a time, so that each is shown where it was typed.
      for (const part of data.match(/[^\r\n\x03\x04]+|\r\n|[^]/g) ?? []) {
        const before = this.#line.text;
        const [event] = this.#line.type(part);
        if (event?.type === "line") this.#terminal.write(`${before}\n`);
        if (event?.type === "interrupt") this.#terminal.write(`${before}^C\n`);
        if (event?.type === "line") this.listener?.line(event.text);
        else if (event?.type === "interrupt") this.listener?.interrupt();
        else if (event?.type === "end") this.listener?.end();
      }
      this.#terminal.write("", () => {
        if (this.#start === null) this.#show();
      });
    });
  }

  /** What takes the typed line off the screen. */
  #erase(): string {
    if (this.#start === null) return "";
    const up = this.#row > 0 ? `\x1b[${this.#row}A` : "";
    const right = this.#start > 0 ? `\x1b[${this.#start}C` : "";
    this.#start = null;
    return `${up}\r${right}\x1b[J`;
  }

  /** Puts the typed line where the cursor is. */
  #show(): void {
    const { cols } = this.#terminal;
    const start = this.#terminal.buffer.active.cursorX;
    const { text, cursor } = this.#line;
    const place = (length: number) => [Math.floor((start + length) / cols), (start + length) % cols];
    const [endRow] = place(text.length);
    const [row, column] = place(cursor);
    // A terminal stays in the last column until there is more.
    const wrap = text.length > 0 && (start + text.length) % cols === 0 ? "\n" : "";
    const up = endRow > row ? `\x1b[${endRow - row}A` : "";
    this.#start = start;
    this.#row = row;
    this.#terminal.write(`${text}${wrap}${up}\r${column > 0 ? `\x1b[${column}C` : ""}`);
  }

  #useTheme(): void {
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(`--${name}`).trim();
    this.#terminal.options.theme = {
      background: color("paper"),
      foreground: color("ink"),
      cursor: color("ink"),
      cursorAccent: color("paper"),
      selectionBackground: color("chosen"),
      red: color("red"),
      brightRed: color("red"),
      green: color("running"),
      magenta: color("magenta"),
      brightMagenta: color("magenta"),
      blue: color("blue"),
      yellow: color("yellow"),
      cyan: color("blue"),
    };
    this.#terminal.options.minimumContrastRatio = 4.5;
  }
}
