/* Instead of wasi-libc's list of 4 KiB, which a small stack has no room for. */
#ifndef VTWASM___TYPEDEF_FD_SET_H
#define VTWASM___TYPEDEF_FD_SET_H

#include <__macro_FD_SETSIZE.h>

typedef struct {
    unsigned long fds_bits[FD_SETSIZE / (8 * sizeof(long))];
} fd_set;

#endif
