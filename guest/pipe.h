/* F_GETPIPE_SZ, and F_SETPIPE_SZ if `wanted` is positive. */
#ifndef VT_PIPE_H
#define VT_PIPE_H

#include <stddef.h>

struct vt_file;
int vt_pipe_size(struct vt_file *file, long wanted, size_t *size);

#endif
