/* eventfd: a number that can be waited for. */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LARGEST (UINT64_MAX - 1)

struct event {
    struct vt_file base;
    uint64_t count;
    bool semaphore;
};

static int event_read(struct vt_file *file, struct vt_io *io)
{
    struct event *event = (struct event *)file;
    struct iovec part;
    if (!vt_io_next(io, &part) || part.iov_len < sizeof event->count)
        return EINVAL;
    if (event->count == 0)
        return EAGAIN;
    uint64_t taken = event->semaphore ? 1 : event->count;
    event->count -= taken;
    memcpy(part.iov_base, &taken, sizeof taken);
    io->done += sizeof taken;
    vt_file_changed(file, POLLOUT | POLLWRNORM);
    return 0;
}

static int event_write(struct vt_file *file, struct vt_io *io)
{
    struct event *event = (struct event *)file;
    struct iovec part;
    uint64_t added;
    if (!vt_io_next(io, &part) || part.iov_len < sizeof added)
        return EINVAL;
    memcpy(&added, part.iov_base, sizeof added);
    if (added == UINT64_MAX)
        return EINVAL;
    if (added > LARGEST - event->count)
        return EAGAIN;
    event->count += added;
    io->done += part.iov_len; /* what is longer is not read */
    vt_file_changed(file, POLLIN | POLLRDNORM);
    return 0;
}

static short event_ready(struct vt_file *file)
{
    uint64_t count = ((struct event *)file)->count;
    return (short)((count > 0 ? POLLIN | POLLRDNORM : 0)
                   | (count < LARGEST ? POLLOUT | POLLWRNORM : 0));
}

static void event_release(struct vt_file *file) { free(file); }

static const struct vt_file_type event_type = {
    .read = event_read,
    .write = event_write,
    .ready = event_ready,
    .release = event_release,
};

int eventfd(unsigned count, int flags)
{
    if (flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK))
        return vt_result(EINVAL);
    struct event *event = calloc(1, sizeof *event);
    if (!event)
        return vt_result(ENOMEM);
    event->base = (struct vt_file){.type = &event_type, .flags = O_RDWR | (flags & EFD_NONBLOCK)};
    event->count = count;
    event->semaphore = flags & EFD_SEMAPHORE;
    int fd, error = vt_fd_open(&event->base, flags & EFD_CLOEXEC, &fd);
    return error ? vt_result(error) : fd;
}

int eventfd_read(int fd, eventfd_t *value)
{
    return read(fd, value, sizeof *value) == sizeof *value ? 0 : -1;
}

int eventfd_write(int fd, eventfd_t value)
{
    return write(fd, &value, sizeof value) == sizeof value ? 0 : -1;
}
