/* Instead of wasi-libc's single byte. */
#ifndef VTWASM___TYPEDEF_SIGSET_T_H
#define VTWASM___TYPEDEF_SIGSET_T_H

typedef unsigned long long sigset_t;

#endif
