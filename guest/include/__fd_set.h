/* Instead of wasi-libc's: see __typedef_fd_set.h. */
#ifndef VTWASM___FD_SET_H
#define VTWASM___FD_SET_H

#include <__typedef_fd_set.h>

#define VTWASM_FD_BITS (8 * sizeof(long))
#define VTWASM_FD_WORD(fd, set) ((set)->fds_bits[(unsigned)(fd) / VTWASM_FD_BITS])
#define VTWASM_FD_BIT(fd) (1UL << (unsigned)(fd) % VTWASM_FD_BITS)

#define FD_ZERO(set) ((void)__builtin_memset((set), 0, sizeof(fd_set)))
#define FD_SET(fd, set) ((void)(VTWASM_FD_WORD(fd, set) |= VTWASM_FD_BIT(fd)))
#define FD_CLR(fd, set) ((void)(VTWASM_FD_WORD(fd, set) &= ~VTWASM_FD_BIT(fd)))
#define FD_ISSET(fd, set) ((VTWASM_FD_WORD(fd, set) & VTWASM_FD_BIT(fd)) != 0)
#define FD_COPY(from, to) ((void)(*(to) = *(from)))

#endif
