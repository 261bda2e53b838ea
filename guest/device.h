/* /dev: the devices that every program may use (device.c). */
#ifndef VT_DEVICE_H
#define VT_DEVICE_H

#include <stddef.h>
#include <wasi/api.h>

/* The part of `path` behind /dev/ if that is a device; else null. */
const char *vt_device_name(const char *path);
/* `name` is relative to /dev and not terminated. */
int vt_device_open(const char *name, size_t length, int flags, int32_t *fd);
int vt_device_status(const char *name, size_t length, __wasi_filestat_t *status);

#endif
