/* Pipes. */
#include "fd.h"
#include "pipe.h"
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

/* What is written in one call of at most so much is not mixed with other writers' bytes. POSIX has
 * it in <limits.h>; wasi-libc hides it. */
#define ATOMIC ((size_t)4096)
#define CAPACITY ((size_t)65536) /* as Linux's */

struct pipe {
    struct vt_ring ring;
    struct vt_file ends[2]; /* of descriptors: the one to read, the one to write */
    bool open[2];
};

static struct pipe *pipe_of(struct vt_file *end);

static int pipe_read(struct vt_file *end, struct vt_io *io)
{
    struct pipe *pipe = pipe_of(end);
    struct vt_ring *ring = &pipe->ring;
    if (vt_io_size(io) == 0)
        return 0;
    if (ring->length == 0)
        return pipe->open[1] ? EAGAIN : 0;
    bool was_full = vt_ring_room(ring) < ATOMIC;
    for (struct iovec part; ring->length > 0 && vt_io_next(io, &part);) {
        size_t size = part.iov_len < ring->length ? part.iov_len : ring->length;
        vt_ring_peek(ring, 0, part.iov_base, size);
        vt_ring_drop(ring, size);
        io->done += size;
    }
    if (was_full && vt_ring_room(ring) >= ATOMIC)
        vt_file_changed(&pipe->ends[1], POLLOUT | POLLWRNORM);
    return 0;
}

static int pipe_write(struct vt_file *end, struct vt_io *io)
{
    struct pipe *pipe = pipe_of(end);
    struct vt_ring *ring = &pipe->ring;
    if (!pipe->open[0])
        return EPIPE; /* and no SIGPIPE: Python ignores it */
    size_t size = vt_io_size(io), room = vt_ring_room(ring);
    if (size == 0)
        return 0;
    if (room == 0 || (size <= ATOMIC && size > room))
        return EAGAIN;
    for (struct iovec part; room > 0 && vt_io_next(io, &part);) {
        size_t put = part.iov_len < room ? part.iov_len : room;
        if (!vt_ring_put(ring, part.iov_base, put))
            return ENOMEM;
        io->done += put;
        room -= put;
    }
    vt_file_changed(&pipe->ends[0], POLLIN | POLLRDNORM);
    return 0;
}

static short read_end_ready(struct vt_file *end)
{
    struct pipe *pipe = pipe_of(end);
    return (short)((pipe->ring.length > 0 ? POLLIN | POLLRDNORM : 0) | (pipe->open[1] ? 0 : POLLHUP));
}

static short write_end_ready(struct vt_file *end)
{
    struct pipe *pipe = pipe_of(end);
    if (!pipe->open[0])
        return POLLOUT | POLLWRNORM | POLLERR;
    return vt_ring_room(&pipe->ring) >= ATOMIC ? POLLOUT | POLLWRNORM : 0;
}

static int available(struct vt_file *end, int *count)
{
    *count = (int)pipe_of(end)->ring.length;
    return 0;
}

static void release(struct vt_file *end)
{
    struct pipe *pipe = pipe_of(end);
    int which = (int)(end - pipe->ends), other = !which;
    pipe->open[which] = false;
    if (pipe->open[other]) {
        vt_file_changed(&pipe->ends[other], POLLHUP | POLLERR);
        return;
    }
    free(pipe->ring.bytes);
    free(pipe);
}

static const struct vt_file_type read_end = {
    .mode = S_IFIFO | S_IRUSR | S_IWUSR,
    .read = pipe_read,
    .ready = read_end_ready,
    .available = available,
    .release = release,
};
static const struct vt_file_type write_end = {
    .mode = S_IFIFO | S_IRUSR | S_IWUSR,
    .write = pipe_write,
    .ready = write_end_ready,
    .available = available,
    .release = release,
};

static struct pipe *pipe_of(struct vt_file *end)
{
    int which = end->type == &write_end;
    return (struct pipe *)((char *)(end - which) - offsetof(struct pipe, ends));
}

int pipe2(int fds[2], int flags)
{
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return vt_result(EINVAL);
    struct pipe *pipe = calloc(1, sizeof *pipe);
    if (!pipe)
        return vt_result(ENOMEM);
    pipe->ring.limit = CAPACITY;
    pipe->ends[0] = (struct vt_file){.type = &read_end, .flags = O_RDONLY | (flags & O_NONBLOCK)};
    pipe->ends[1] = (struct vt_file){.type = &write_end, .flags = O_WRONLY | (flags & O_NONBLOCK)};
    pipe->open[0] = pipe->open[1] = true;
    int reader, writer, error = vt_fd_open(&pipe->ends[0], flags & O_CLOEXEC, &reader);
    if (error) {
        release(&pipe->ends[1]);
        return vt_result(error);
    }
    error = vt_fd_open(&pipe->ends[1], flags & O_CLOEXEC, &writer);
    if (error) {
        vt_fd_close(reader);
        return vt_result(error);
    }
    fds[0] = reader;
    fds[1] = writer;
    return 0;
}

int pipe(int fds[2]) { return pipe2(fds, 0); }

int vt_pipe_size(struct vt_file *file, long wanted, size_t *size)
{
    if (file->type != &read_end && file->type != &write_end)
        return EBADF;
    struct vt_ring *ring = &pipe_of(file)->ring;
    if (wanted > 0) {
        size_t limit = ATOMIC;
        while (limit < (size_t)wanted && limit < (size_t)1 << 20)
            limit *= 2;
        if (limit < (size_t)wanted)
            return EPERM; /* as Linux's limit without privileges */
        if (limit < ring->length)
            return EBUSY;
        ring->limit = limit;
    }
    *size = ring->limit;
    return 0;
}
