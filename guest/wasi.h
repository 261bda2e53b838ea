/* libc reaches WASI through functions named __imported_wasi_snapshot_preview1_*. Where this library
 * defines one of them, the linker takes ours; WASI's own is still there under another name. */
#ifndef VT_WASI_H
#define VT_WASI_H

#include <stdint.h>
#include <wasi/api.h>

#define VT_WASI(name) \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) int32_t wasi_##name
#define VT_INSTEAD_OF_WASI(name) int32_t __imported_wasi_snapshot_preview1_##name

/* stdio.c: the stream behind a descriptor (0, 1 or 2); negative if it is none, or none any more. */
int vt_stream_of(int32_t fd);
/* Whether the stream could go on now; if not, the fiber is woken from its next park when it can. */
int vt_stream_is_ready(int stream, int write);

#endif
