// WASI preview 1's error numbers.

export type Errno = number;

export const OK: Errno = 0;
export const AGAIN: Errno = 6;
export const BADF: Errno = 8;
export const INVAL: Errno = 28;
export const NOENT: Errno = 44;
export const NOTCAPABLE: Errno = 76;
