// WASI preview 1's error numbers.

export type Errno = number;

export const OK: Errno = 0;
export const AGAIN: Errno = 6;
export const BADF: Errno = 8;
export const EXIST: Errno = 20;
export const INVAL: Errno = 28;
export const IO: Errno = 29;
export const ISDIR: Errno = 31;
export const LOOP: Errno = 32;
export const NOENT: Errno = 44;
export const NOSPC: Errno = 51;
export const NOTDIR: Errno = 54;
export const NOTEMPTY: Errno = 55;
export const PERM: Errno = 63;
export const ROFS: Errno = 69;
export const NOTCAPABLE: Errno = 76;

/** What the guest gets as this errno. */
export class WasiError extends Error {
  readonly errno: Errno;

  constructor(errno: Errno) {
    super(`errno ${errno}`);
    this.errno = errno;
  }
}
