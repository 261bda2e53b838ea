// A binary heap of deadlines, the earliest first.

export interface Timer {
  /** Nanoseconds. */
  deadline: number;
  fiber: number;
  generation: number;
}

function before(a: Timer, b: Timer): boolean {
  // As the Rust host orders them: by deadline, and of the same deadline by fiber.
  return a.deadline !== b.deadline ? a.deadline < b.deadline : a.fiber < b.fiber;
}

export class TimerHeap {
  #heap: Timer[] = [];

  get length(): number {
    return this.#heap.length;
  }

  peek(): Timer | undefined {
    return this.#heap[0];
  }

  some(test: (timer: Timer) => boolean): boolean {
    return this.#heap.some(test);
  }

  keep(test: (timer: Timer) => boolean): void {
    const kept = this.#heap.filter(test);
    this.#heap = [];
    for (const timer of kept) this.push(timer);
  }

  push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(timer, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = timer;
  }

  pop(): Timer | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child += 1;
      if (!before(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
