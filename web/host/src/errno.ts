// WASI preview 1's error numbers.

export type Errno = number;

export const OK: Errno = 0;
export const ADDRINUSE: Errno = 3;
export const ADDRNOTAVAIL: Errno = 4;
export const AGAIN: Errno = 6;
export const ALREADY: Errno = 7;
export const BADF: Errno = 8;
export const CONNREFUSED: Errno = 14;
export const CONNRESET: Errno = 15;
export const DESTADDRREQ: Errno = 17;
export const EXIST: Errno = 20;
export const INPROGRESS: Errno = 26;
export const INVAL: Errno = 28;
export const IO: Errno = 29;
export const ISCONN: Errno = 30;
export const ISDIR: Errno = 31;
export const LOOP: Errno = 32;
export const MFILE: Errno = 33;
export const MSGSIZE: Errno = 35;
export const NOENT: Errno = 44;
export const NOSPC: Errno = 51;
export const NOTCONN: Errno = 53;
export const NOTDIR: Errno = 54;
export const NOTEMPTY: Errno = 55;
export const OPNOTSUPP: Errno = 58;
export const PERM: Errno = 63;
export const PIPE: Errno = 64;
export const ROFS: Errno = 69;
export const NOTCAPABLE: Errno = 76;

/** What the guest gets as this errno. */
export class WasiError extends Error {
  readonly errno: Errno;

  constructor(errno: Errno) {
    super(`errno ${errno}`);
    this.errno = errno;
  }

  /** The same each time: nobody reads where it was thrown, and to note that takes its time. */
  static of(errno: Errno): WasiError {
    return (KNOWN[errno] ??= new WasiError(errno));
  }
}

const KNOWN: WasiError[] = [];
