/* wasi-libc's, and what it says that WASI does not have. */
#ifndef VTWASM_UNISTD_H
#define VTWASM_UNISTD_H

#include_next <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

int pipe(int[2]);
int pipe2(int[2], int);
int dup(int);
int dup2(int, int);
int dup3(int, int, int);

#ifdef __cplusplus
}
#endif

#endif
