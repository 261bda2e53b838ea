/* wasi-libc's, and the functions of POSIX that make sense where nothing but an interrupt arrives. */
#ifndef VTWASM_SIGNAL_H
#define VTWASM_SIGNAL_H

#include_next <signal.h>

#include <__typedef_sigset_t.h>

int sigemptyset(sigset_t *);
int sigfillset(sigset_t *);
int sigaddset(sigset_t *, int);
int sigdelset(sigset_t *, int);
int sigismember(const sigset_t *, int);
int sigpending(sigset_t *);
int siginterrupt(int, int);

#endif
