/* poll, select and their kin: one park for all descriptors. */
#include "fd.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

#define NOW ((int64_t)0)
/* So many waiters stand on the stack, which is small. */
#define FEW 4

#define READABLE (POLLIN | POLLRDNORM | POLLRDBAND)
#define WRITABLE (POLLOUT | POLLWRNORM | POLLWRBAND)

struct round {
    struct vt_waiter *waiters; /* null: nobody will wait */
    bool again; /* something was called ready, and was not: look once more */
};

/* What `file` is ready for, of `events`. If for nothing, the calling thread is told when it is. */
static short look(struct vt_file *file, short events, struct vt_waiter *waiter, struct round *round)
{
    const struct vt_file_type *type = file->type;
    events |= POLLERR | POLLHUP;
    /* One call of the host instead of two: a subscription says as well whether there is need. */
    bool host = waiter && type->subscribe;
    if (!host || type->subscribe(file, events)) {
        short ready = type->ready(file) & events;
        if (ready || !waiter)
            return ready;
        round->again |= host;
    }
    *waiter = vt_waiting_thread();
    vt_file_keep(file);
    vt_waiter_add(waiter, file, events);
    return 0;
}

static void forget(struct vt_waiter *waiter)
{
    struct vt_file *file = waiter->file;
    if (!file)
        return;
    vt_waiter_remove(waiter);
    vt_file_drop(file);
}

static int look_at_all(struct pollfd *fds, nfds_t count, struct round *round)
{
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        struct vt_waiter *waiter = round->waiters ? &round->waiters[i] : NULL;
        if (waiter)
            waiter->file = NULL;
        fds[i].revents = 0;
        if (fds[i].fd < 0)
            continue;
        struct vt_file *file = vt_file_of(fds[i].fd);
        fds[i].revents =
            file ? look(file, fds[i].events, ready ? NULL : waiter, round) : POLLNVAL;
        ready += fds[i].revents != 0;
    }
    return ready;
}

/* A descriptor that is closed meanwhile is noticed when the wait ends otherwise, as on Linux. */
static int wait_for(struct pollfd *fds, nfds_t count, int64_t deadline, struct vt_waiter *waiters)
{
    for (;;) {
        struct round round = {.waiters = deadline == NOW ? NULL : waiters};
        int ready = look_at_all(fds, count, &round);
        if (deadline == NOW)
            return ready;
        enum vt_wake wake = VT_READY;
        if (ready == 0 && !round.again)
            wake = vt_park(count ? VT_IO : VT_SLEEP, (uint32_t)(uintptr_t)fds, deadline);
        for (nfds_t i = 0; i < count; i++)
            forget(&waiters[i]);
        if (ready > 0)
            return ready;
        if (wake == VT_INTERRUPTED) {
            vt_interrupt();
            return vt_result(EINTR);
        }
        if (wake == VT_TIMED_OUT)
            deadline = NOW; /* once more, for what came in the same moment */
    }
}

static int poll_until(struct pollfd *fds, nfds_t count, int64_t deadline)
{
    struct vt_waiter few[FEW];
    if (count <= FEW)
        return wait_for(fds, count, deadline, few);
    if (count > VT_DESCRIPTORS)
        return vt_result(EINVAL);
    if (deadline == NOW)
        return wait_for(fds, count, deadline, NULL);
    struct vt_waiter *many = malloc(count * sizeof *many);
    if (!many)
        return vt_result(ENOMEM);
    int result = wait_for(fds, count, deadline, many);
    free(many);
    return result;
}

/* Of a duration; never NOW but for one of 0. */
static int64_t deadline_after(int64_t nanoseconds)
{
    int64_t deadline;
    if (nanoseconds == 0)
        return NOW;
    if (__builtin_add_overflow((int64_t)vt_now(VT_MONOTONIC), nanoseconds, &deadline))
        return INT64_MAX;
    return deadline;
}

int poll(struct pollfd *fds, nfds_t count, int milliseconds)
{
    return poll_until(fds, count,
                      milliseconds < 0 ? VT_FOREVER : deadline_after(milliseconds * INT64_C(1000000)));
}

/* Signals are the main thread's alone and need no mask. */
int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    (void)mask;
    if (!timeout)
        return poll_until(fds, count, VT_FOREVER);
    if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000)
        return vt_result(EINVAL);
    int64_t nanoseconds;
    if (__builtin_mul_overflow((int64_t)timeout->tv_sec, INT64_C(1000000000), &nanoseconds)
        || __builtin_add_overflow(nanoseconds, (int64_t)timeout->tv_nsec, &nanoseconds))
        nanoseconds = INT64_MAX;
    return poll_until(fds, count, deadline_after(nanoseconds));
}

/* --- select --- */

static bool contains(const fd_set *set, int fd) { return set && FD_ISSET(fd, set); }

static short wanted(int fd, const fd_set *reads, const fd_set *writes, const fd_set *errors)
{
    return (contains(reads, fd) ? POLLIN : 0) | (contains(writes, fd) ? POLLOUT : 0)
           | (contains(errors, fd) ? POLLPRI : 0);
}

/* A descriptor that is ready for what the set stands for stays in it. */
static int keep(fd_set *set, int fd, bool ready)
{
    if (!contains(set, fd))
        return 0;
    if (!ready)
        FD_CLR(fd, set);
    return ready;
}

static int collect(const struct pollfd *fds, nfds_t count, fd_set *reads, fd_set *writes,
                   fd_set *errors)
{
    int total = 0;
    for (nfds_t i = 0; i < count; i++) {
        short ready = fds[i].revents;
        total += keep(reads, fds[i].fd, ready & (READABLE | POLLHUP | POLLERR | POLLNVAL));
        total += keep(writes, fds[i].fd, ready & (WRITABLE | POLLERR | POLLNVAL));
        total += keep(errors, fds[i].fd, ready & (POLLPRI | POLLNVAL));
    }
    return total;
}

static int select_among(struct pollfd *fds, int size, fd_set *reads, fd_set *writes, fd_set *errors,
                        const struct timespec *timeout)
{
    nfds_t count = 0;
    for (int fd = 0; fd < size; fd++) {
        short events = wanted(fd, reads, writes, errors);
        if (events && !vt_file_of(fd))
            return vt_result(EBADF);
        if (events)
            fds[count++] = (struct pollfd){.fd = fd, .events = events};
    }
    if (ppoll(fds, count, timeout, NULL) < 0)
        return -1;
    return collect(fds, count, reads, writes, errors);
}

int pselect(int size, fd_set *restrict reads, fd_set *restrict writes, fd_set *restrict errors,
            const struct timespec *restrict timeout, const sigset_t *restrict mask)
{
    (void)mask;
    if (size < 0 || size > FD_SETSIZE)
        return vt_result(EINVAL);
    int count = 0;
    for (int fd = 0; fd < size; fd++)
        count += wanted(fd, reads, writes, errors) != 0;
    struct pollfd few[FEW], *fds = few;
    if (count > FEW && !(fds = malloc((size_t)count * sizeof *fds)))
        return vt_result(ENOMEM);
    int result = select_among(fds, size, reads, writes, errors, timeout);
    if (fds != few)
        free(fds);
    return result;
}

int select(int size, fd_set *restrict reads, fd_set *restrict writes, fd_set *restrict errors,
           struct timeval *restrict timeout)
{
    if (!timeout)
        return pselect(size, reads, writes, errors, NULL, NULL);
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
        return vt_result(EINVAL);
    struct timespec exact = {
        .tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000,
        .tv_nsec = timeout->tv_usec % 1000000 * 1000,
    };
    return pselect(size, reads, writes, errors, &exact, NULL);
}
