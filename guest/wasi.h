/* libc reaches WASI through functions named __imported_wasi_snapshot_preview1_*. Where this library
 * defines one of them, the linker takes ours; WASI's own is still there under another name. */
#ifndef VT_WASI_H
#define VT_WASI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wasi/api.h>

#define VT_WASI(name) \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) int32_t wasi_##name
#define VT_INSTEAD_OF_WASI(name) int32_t __imported_wasi_snapshot_preview1_##name

/* wasi.c: makes a descriptor WASI's own number. EBADF if it is none; `otherwise` if it names what
 * WASI knows nothing of. */
int vt_wasi_number(int32_t *fd, int otherwise);
/* A new descriptor for what WASI has opened; closes it if there is none. */
int vt_wasi_open(int32_t wasi, int flags, int32_t *fd);

/* What stat() says of anything that is no file of WASI's: 0. */
static inline int vt_status(const void *what, uint8_t filetype, __wasi_filestat_t *status)
{
    *status = (__wasi_filestat_t){.ino = (uintptr_t)what, .filetype = filetype, .nlink = 1};
    return 0;
}

/* stdio.c: 0, 1 or 2; negative if it is no standard stream. */
struct vt_file;
int vt_stream_of(const struct vt_file *file);
bool vt_stream_is_terminal(int stream);

/* Folders that no table knows: /dev (device.c), and one for the sockets that have paths (unix.c). */
#define VT_DEVICES INT32_MAX
#define VT_NAMES (INT32_MAX - 1)

/* memory.c: where cabi_realloc puts the list that the next import returns: straight into the
 * caller's buffer. */
extern struct vt_landing {
    void *bytes;
    size_t size;
} vt_landing;

#endif
