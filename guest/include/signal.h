/* wasi-libc's, and what guest/signal.c has. */
#ifndef VTWASM_SIGNAL_H
#define VTWASM_SIGNAL_H

#include_next <signal.h>

#include <__typedef_sigset_t.h>
#include <sys/types.h>

int kill(pid_t, int);
int sigemptyset(sigset_t *);
int sigfillset(sigset_t *);
int sigaddset(sigset_t *, int);
int sigdelset(sigset_t *, int);
int sigismember(const sigset_t *, int);
int sigpending(sigset_t *);
int siginterrupt(int, int);

#endif
