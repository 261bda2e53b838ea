/* wasi-libc's, and what it says that WASI does not have. */
#ifndef VTWASM___HEADER_FCNTL_H
#define VTWASM___HEADER_FCNTL_H

#include_next <__header_fcntl.h>

/* A bit that libc's open() does not look at: what it opens is FD_CLOEXEC in any case. */
#undef O_CLOEXEC
#define O_CLOEXEC 0x40000000

#define F_DUPFD 0
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
#define F_DUPFD_CLOEXEC 1030
#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032

#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2

#endif
