// Files that were dropped into the page: they lie beside the program in its next runs.

import type { Files } from "../host/src/index.ts";

const FOLDER = "/home/web/";

export class DroppedFiles {
  #files = new Map<string, Uint8Array>();
  #list: HTMLElement;
  #tell: (message: string) => void;

  /** `list` shows them; `tell` says what happened. */
  constructor(list: HTMLElement, input: HTMLInputElement, tell: (message: string) => void) {
    this.#list = list;
    this.#tell = tell;
    input.addEventListener("change", () => {
      void this.#add([...(input.files ?? [])]);
      input.value = "";
    });
    document.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      document.body.classList.add("drop");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.body.classList.remove("drop");
    });
    document.addEventListener("drop", (event) => {
      document.body.classList.remove("drop");
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length === 0) return;
      event.preventDefault();
      void this.#add(files);
    });
  }

  /** By their paths in the sandbox. */
  get files(): Files {
    // A run's memory takes its own copies.
    return Object.fromEntries([...this.#files].map(([name, bytes]) => [FOLDER + name, bytes]));
  }

  async #add(files: File[]): Promise<void> {
    const added: string[] = [];
    for (const file of files) {
      try {
        this.#files.set(file.name, new Uint8Array(await file.arrayBuffer()));
        added.push(file.name);
      } catch {
        this.#tell(`${file.name} cannot be read (a folder? drop its files)`);
      }
    }
    if (added.length > 0) this.#tell(`Added ${added.join(", ")}: beside the program in its next run`);
    this.#show();
  }

  #show(): void {
    const items = [...this.#files].map(([name, bytes]) => {
      const item = document.createElement("li");
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "×";
      remove.setAttribute("aria-label", `Remove ${name}`);
      remove.addEventListener("click", () => {
        this.#files.delete(name);
        this.#tell(`Removed ${name}`);
        this.#show();
      });
      item.append(`${name} (${size(bytes.length)})`, remove);
      return item;
    });
    this.#list.replaceChildren(...items);
  }
}

function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
