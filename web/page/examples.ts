// The worked examples: page/examples/, which `vtwasm run` runs as well.

const FILES = import.meta.glob<string>("./examples/*.py", { query: "?raw", import: "default", eager: true });

export interface Example {
  /** Its file, without `.py`. */
  file: string;
  name: string;
}

export const EXAMPLES: Example[] = [
  { file: "hello_threads", name: "Hello, threads" },
  { file: "producer_consumer", name: "Producer and consumer" },
  { file: "sleepers", name: "10,000 sleepers" },
  { file: "thread_pool", name: "ThreadPoolExecutor" },
  { file: "race", name: "A race and its lock" },
  { file: "asyncio_threads", name: "asyncio beside threads" },
];

export function codeOf({ file }: Example): string {
  return FILES[`./examples/${file}.py`] ?? "";
}
