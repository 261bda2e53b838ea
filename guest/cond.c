/* Conditions. */
#include "attr.h"

#include <errno.h>

struct condition {
    struct vt_queue waiters;
    enum vt_clock clock;
};
vt_assert_fits(struct condition, pthread_cond_t);

int pthread_cond_init(pthread_cond_t *restrict posix, const pthread_condattr_t *restrict attr)
{
    *(struct condition *)posix =
        (struct condition){.clock = attr ? vt_condition_clock(attr) : VT_REALTIME};
    return 0;
}

int pthread_cond_destroy(pthread_cond_t *posix)
{
    return ((struct condition *)posix)->waiters.first ? EBUSY : 0;
}

static int wait(struct condition *condition, pthread_mutex_t *mutex, int64_t deadline)
{
    int error = pthread_mutex_unlock(mutex);
    if (error)
        return error; /* EPERM: an error-checking mutex that the caller does not hold */
    int result = vt_wait(&condition->waiters, VT_CONDITION, condition, deadline);
    pthread_mutex_lock(mutex);
    /* POSIX: not EINTR but, if anything, a spurious wake-up. */
    return result == ETIMEDOUT ? ETIMEDOUT : 0;
}

int pthread_cond_wait(pthread_cond_t *restrict posix, pthread_mutex_t *restrict mutex)
{
    return wait((struct condition *)posix, mutex, VT_FOREVER);
}

int pthread_cond_clockwait(pthread_cond_t *restrict posix, pthread_mutex_t *restrict mutex,
                           clockid_t clock, const struct timespec *restrict at)
{
    int64_t deadline;
    int error = vt_deadline(clock, at, &deadline);
    return error ? error : wait((struct condition *)posix, mutex, deadline);
}

int pthread_cond_timedwait(pthread_cond_t *restrict posix, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict at)
{
    bool monotonic = ((struct condition *)posix)->clock == VT_MONOTONIC;
    return pthread_cond_clockwait(posix, mutex, monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME, at);
}

int pthread_cond_signal(pthread_cond_t *posix)
{
    vt_wake_first(&((struct condition *)posix)->waiters);
    return 0;
}

int pthread_cond_broadcast(pthread_cond_t *posix)
{
    vt_wake_all(&((struct condition *)posix)->waiters);
    return 0;
}
