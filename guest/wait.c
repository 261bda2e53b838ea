/* Waiting for descriptors, and the one loop that makes calls on them block. */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#define ALWAYS (POLLERR | POLLHUP | POLLNVAL)

void vt_waiter_add(struct vt_waiter *waiter, struct vt_file *file, short events)
{
    waiter->file = file;
    waiter->events = events | ALWAYS;
    waiter->told = false;
    waiter->next = NULL;
    waiter->previous = file->last;
    if (file->last)
        file->last->next = waiter;
    else
        file->first = waiter;
    file->last = waiter;
}

void vt_waiter_remove(struct vt_waiter *waiter)
{
    struct vt_file *file = waiter->file;
    if (!file)
        return;
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        file->first = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
    else
        file->last = waiter->previous;
    waiter->file = NULL;
}

/* A thread is told once: it removes its waiters when it runs. */
static void unpark(struct vt_waiter *waiter)
{
    if (waiter->told)
        return;
    waiter->told = true;
    vt_unpark(waiter->thread);
}

struct vt_waiter vt_waiting_thread(void)
{
    return (struct vt_waiter){.thread = vt_self, .tell = unpark};
}

void vt_file_changed(struct vt_file *file, short events)
{
    for (struct vt_waiter *waiter = file->first, *next; waiter; waiter = next) {
        next = waiter->next;
        if (waiter->events & events)
            waiter->tell(waiter);
    }
}

void vt_waiters_dismiss(struct vt_file *file)
{
    while (file->first) {
        struct vt_waiter *waiter = file->first;
        vt_waiter_remove(waiter);
        waiter->tell(waiter);
    }
}

int vt_file_wait(struct vt_file *file, short events, int64_t deadline)
{
    if (file->type->subscribe && file->type->subscribe(file, events))
        return 0;
    struct vt_waiter waiter = vt_waiting_thread();
    vt_waiter_add(&waiter, file, events);
    enum vt_wake wake = vt_park(VT_IO, (uint32_t)(uintptr_t)file, deadline);
    bool closed = waiter.file == NULL;
    vt_waiter_remove(&waiter);
    if (wake == VT_INTERRUPTED) {
        vt_interrupt();
        return EINTR;
    }
    if (closed)
        return EBADF;
    return wake == VT_TIMED_OUT ? ETIMEDOUT : 0;
}

/* --- blocking calls --- */

size_t vt_io_size(const struct vt_io *io)
{
    size_t size = 0;
    for (int i = 0; i < io->count; i++)
        size += io->buffers[i].iov_len;
    return size;
}

bool vt_io_next(const struct vt_io *io, struct iovec *part)
{
    size_t skip = io->done;
    for (int i = 0; i < io->count; i++) {
        size_t length = io->buffers[i].iov_len;
        if (skip < length) {
            *part = (struct iovec){(char *)io->buffers[i].iov_base + skip, length - skip};
            return true;
        }
        skip -= length;
    }
    return false;
}

bool vt_io_may_wait(const struct vt_file *file, const struct vt_io *io)
{
    return !(file->flags & O_NONBLOCK) && !(io->flags & MSG_DONTWAIT);
}

/* SO_RCVTIMEO and SO_SNDTIMEO: a time-out is EAGAIN. What was done counts, the error comes the next
 * time. */
static int outcome(const struct vt_io *io, int error)
{
    if (io->done > 0)
        return 0;
    return error == ETIMEDOUT ? EAGAIN : error;
}

static int read_until(struct vt_file *file, struct vt_io *io, int64_t deadline)
{
    /* MSG_WAITALL means nothing to datagrams: one call takes one. */
    bool all = (io->flags & MSG_WAITALL) && !(io->flags & MSG_PEEK);
    size_t size = all ? vt_io_size(io) : 0;
    for (;;) {
        size_t before = io->done;
        int error = file->type->read(file, io);
        if (error == 0 && (!all || io->done >= size || io->done == before || io->whole || io->parcel))
            return 0;
        if (error == 0)
            continue;
        if (error != EAGAIN || !vt_io_may_wait(file, io))
            return outcome(io, error);
        error = vt_file_wait(file, io->flags & MSG_OOB ? POLLPRI : POLLIN, deadline);
        if (error)
            return outcome(io, error);
    }
}

static int write_until(struct vt_file *file, struct vt_io *io, int64_t deadline)
{
    size_t size = vt_io_size(io);
    for (;;) {
        int error = file->type->write(file, io);
        if (error == 0 && (io->done >= size || !vt_io_may_wait(file, io)))
            return 0;
        if (error == 0)
            continue;
        if (error != EAGAIN || !vt_io_may_wait(file, io))
            return outcome(io, error);
        error = vt_file_wait(file, POLLOUT, deadline);
        if (error)
            return outcome(io, error);
    }
}

int vt_file_read(struct vt_file *file, struct vt_io *io, int64_t deadline)
{
    if (!file->type->read)
        return EBADF;
    vt_file_keep(file);
    int error = read_until(file, io, deadline);
    vt_file_drop(file);
    return error;
}

int vt_file_write(struct vt_file *file, struct vt_io *io, int64_t deadline)
{
    if (!file->type->write)
        return EBADF;
    vt_file_keep(file);
    int error = write_until(file, io, deadline);
    vt_file_drop(file);
    return error;
}
