// JSPI, which TypeScript's library does not know yet.

declare namespace WebAssembly {
  /** An import that may suspend its caller. */
  const Suspending: new (f: (...args: never[]) => unknown) => Function;
  function promising<A extends unknown[]>(f: (...args: A) => unknown): (...args: A) => Promise<void>;
}
