/* Names of AF_UNIX sockets as files (unix.c), for paths.c. */
#ifndef VT_NAMES_H
#define VT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <wasi/api.h>

bool vt_name_is_bound(const char *path);
/* `path` is not terminated. */
int vt_name_status(const char *path, size_t length, __wasi_filestat_t *status);
int vt_name_unlink(const char *path, size_t length);

#endif
