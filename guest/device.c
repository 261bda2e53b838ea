/* /dev/null, /dev/zero, /dev/random and /dev/urandom, whatever folders the run may see. */
#include "device.h"
#include "fd.h"
#include "wasi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int read_nothing(struct vt_file *file, struct vt_io *io)
{
    (void)file, (void)io;
    return 0;
}

static int read_zeros(struct vt_file *file, struct vt_io *io)
{
    (void)file;
    for (struct iovec part; vt_io_next(io, &part); io->done += part.iov_len)
        memset(part.iov_base, 0, part.iov_len);
    return 0;
}

static int read_random(struct vt_file *file, struct vt_io *io)
{
    (void)file;
    for (struct iovec part; vt_io_next(io, &part); io->done += part.iov_len) {
        int error = __wasi_random_get(part.iov_base, part.iov_len);
        if (error)
            return error;
    }
    return 0;
}

static int write_all(struct vt_file *file, struct vt_io *io)
{
    (void)file;
    io->done = vt_io_size(io);
    return 0;
}

static short ready(struct vt_file *file)
{
    (void)file;
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

static void release(struct vt_file *file) { free(file); }

#define DEVICE(reader)                                                                  \
    {                                                                                   \
        .filetype = __WASI_FILETYPE_CHARACTER_DEVICE, .read = reader, .write = write_all, \
        .ready = ready, .release = release,                                             \
    }
static const struct device {
    const char *name;
    struct vt_file_type type;
} devices[] = {
    {"null", DEVICE(read_nothing)},
    {"zero", DEVICE(read_zeros)},
    {"random", DEVICE(read_random)},
    {"urandom", DEVICE(read_random)},
};
#define DEVICES (sizeof devices / sizeof devices[0])

static const struct device *find(const char *name, size_t length)
{
    for (size_t i = 0; i < DEVICES; i++)
        if (strlen(devices[i].name) == length && memcmp(devices[i].name, name, length) == 0)
            return &devices[i];
    return NULL;
}

int vt_device_open(const char *name, size_t length, int flags, int32_t *fd)
{
    const struct device *device = find(name, length);
    if (!device)
        return ENOENT;
    struct vt_file *file = calloc(1, sizeof *file);
    if (!file)
        return ENOMEM;
    *file = (struct vt_file){.type = &device->type, .flags = flags};
    int number, error = vt_fd_open(file, true, &number);
    *fd = number;
    return error;
}

int vt_device_status(const char *name, size_t length, __wasi_filestat_t *status)
{
    const struct device *device = find(name, length);
    return device ? vt_status(device, __WASI_FILETYPE_CHARACTER_DEVICE, status) : ENOENT;
}

const char *vt_device_name(const char *path)
{
    static const char prefix[] = "/dev/";
    const char *name = path + sizeof prefix - 1;
    return strncmp(path, prefix, sizeof prefix - 1) == 0 && find(name, strlen(name)) ? name : NULL;
}
