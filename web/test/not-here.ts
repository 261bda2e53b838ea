// Programs of tests/programs that cannot pass in a browser, each with its reason. One that passes
// after all is a failure too.

const SOCKETS = "a page has no network sockets, and its host has none of its own for loopback yet";

export const NOT_HERE: Record<string, string> = {
  asyncio_streams_threads: SOCKETS,
  close_while_waiting: SOCKETS,
  echo_threads: SOCKETS,
  servers: SOCKETS,
  tls_garbage: SOCKETS,
};
