// The line that somebody types: what a terminal does before a program reads it. Knows no screen.

export type Event =
  /** A whole line, with its end. */
  | { type: "line"; text: string }
  | { type: "interrupt" }
  /** The end of the input. */
  | { type: "end" };

export class Line {
  text = "";
  cursor = 0;
  #history: string[] = [];
  /** Where in the history; its length is the line that is being typed. */
  #at = 0;
  #draft = "";

  /** Takes what the keyboard or the clipboard gives, and tells what came of it. */
  type(data: string): Event[] {
    const events: Event[] = [];
    for (const key of data.match(/\x1b\[[0-9;]*[A-Za-z~]|\x1bO.|\x1b.|\r\n|[^]/gu) ?? []) {
      const event = this.#key(key);
      if (event) events.push(event);
    }
    return events;
  }

  #key(key: string): Event | null {
    const { text, cursor } = this;
    switch (key) {
      case "\r":
      case "\n":
      case "\r\n":
        return this.#enter();
      case "\x03":
        this.#set("", 0);
        return { type: "interrupt" };
      case "\x04":
        if (text === "") return { type: "end" };
        this.#set(text.slice(0, cursor) + text.slice(this.#right), cursor);
        return null;
      case "\x7f":
      case "\b":
        this.#set(text.slice(0, this.#left) + text.slice(cursor), this.#left);
        return null;
      case "\x1b[3~":
        this.#set(text.slice(0, cursor) + text.slice(this.#right), cursor);
        return null;
      case "\x1b[D":
        this.cursor = this.#left;
        return null;
      case "\x1b[C":
        this.cursor = this.#right;
        return null;
      case "\x01":
      case "\x1b[H":
      case "\x1bOH":
        this.cursor = 0;
        return null;
      case "\x05":
      case "\x1b[F":
      case "\x1bOF":
        this.cursor = text.length;
        return null;
      case "\x15":
        this.#set(text.slice(cursor), 0);
        return null;
      case "\x0b":
        this.#set(text.slice(0, cursor), cursor);
        return null;
      case "\x1b[A":
        this.#recall(-1);
        return null;
      case "\x1b[B":
        this.#recall(1);
        return null;
      case "\t":
        this.#insert("    ");
        return null;
      default:
        if (key >= " " && key[0] !== "\x1b") this.#insert(key);
        return null;
    }
  }

  /** Of the character before the cursor, which may be a pair of units. */
  get #left(): number {
    const step = [...this.text.slice(0, this.cursor)].at(-1)?.length ?? 0;
    return this.cursor - step;
  }

  get #right(): number {
    const character = this.text.codePointAt(this.cursor);
    return this.cursor + (character === undefined ? 0 : String.fromCodePoint(character).length);
  }

  #set(text: string, cursor: number): void {
    this.text = text;
    this.cursor = cursor;
  }

  #insert(what: string): void {
    const { text, cursor } = this;
    this.#set(text.slice(0, cursor) + what + text.slice(cursor), cursor + what.length);
  }

  #enter(): Event {
    const { text } = this;
    if (text.trim() !== "" && this.#history.at(-1) !== text) this.#history.push(text);
    this.#at = this.#history.length;
    this.#set("", 0);
    return { type: "line", text: `${text}\n` };
  }

  #recall(by: number): void {
    const to = this.#at + by;
    if (to < 0 || to > this.#history.length) return;
    if (this.#at === this.#history.length) this.#draft = this.text;
    this.#at = to;
    const text = this.#history[to] ?? this.#draft;
    this.#set(text, text.length);
  }
}
