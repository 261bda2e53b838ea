/* Mutexes.
 *
 * Unlocking does not hand the mutex to the first waiter but makes that one ready to compete for it:
 * whoever unlocks and locks again in a loop then does so without a switch each time. A waiter that
 * finds the mutex taken when it runs goes back to the head of the queue and is handed it next time,
 * so it is overtaken once at most. Semaphores (Python's locks) do the same. */
#include "attr.h"

#include <errno.h>
#include <limits.h>

struct mutex {
    vt_thread *owner;
    int type;
    unsigned depth; /* recursive: locks beyond the first */
    struct vt_queue waiters;
};
vt_assert_fits(struct mutex, pthread_mutex_t);

int pthread_mutex_init(pthread_mutex_t *restrict posix, const pthread_mutexattr_t *restrict attr)
{
    *(struct mutex *)posix = (struct mutex){.type = attr ? vt_mutex_type(attr) : 0};
    return 0;
}

int pthread_mutex_destroy(pthread_mutex_t *posix)
{
    struct mutex *mutex = (struct mutex *)posix;
    return mutex->owner || mutex->waiters.first ? EBUSY : 0;
}

/* The caller owns it already. */
static int lock_again(struct mutex *mutex)
{
    if (mutex->depth == UINT_MAX)
        return EAGAIN;
    mutex->depth++;
    return 0;
}

static int wait_for(struct mutex *mutex, int64_t deadline)
{
    vt_thread *self = vt_self;
    int result = vt_wait(&mutex->waiters, VT_MUTEX, mutex, deadline);
    /* POSIX: a signal does not end the wait for a mutex. */
    for (;;) {
        if (result == ETIMEDOUT)
            break;
        if (result == 0) {
            if (!mutex->owner)
                mutex->owner = self;
            if (mutex->owner == self)
                break;
            self->overtaken = true;
        }
        result = vt_wait_again(&mutex->waiters, VT_MUTEX, mutex, deadline);
    }
    self->overtaken = false;
    return result;
}

int pthread_mutex_lock(pthread_mutex_t *posix)
{
    struct mutex *mutex = (struct mutex *)posix;
    if (!mutex->owner) {
        mutex->owner = vt_self;
        return 0;
    }
    if (mutex->owner == vt_self && mutex->type == PTHREAD_MUTEX_RECURSIVE)
        return lock_again(mutex);
    if (mutex->owner == vt_self && mutex->type == PTHREAD_MUTEX_ERRORCHECK)
        return EDEADLK;
    return wait_for(mutex, VT_FOREVER);
}

int pthread_mutex_trylock(pthread_mutex_t *posix)
{
    struct mutex *mutex = (struct mutex *)posix;
    if (mutex->owner) {
        bool again = mutex->owner == vt_self && mutex->type == PTHREAD_MUTEX_RECURSIVE;
        return again ? lock_again(mutex) : EBUSY;
    }
    mutex->owner = vt_self;
    return 0;
}

int pthread_mutex_clocklock(pthread_mutex_t *restrict posix, clockid_t clock,
                            const struct timespec *restrict at)
{
    struct mutex *mutex = (struct mutex *)posix;
    if (!mutex->owner || (mutex->owner == vt_self && mutex->type != PTHREAD_MUTEX_NORMAL))
        return pthread_mutex_lock(posix); /* does not wait, so `at` need not be valid */
    int64_t deadline;
    int error = vt_deadline(clock, at, &deadline);
    return error ? error : wait_for(mutex, deadline);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict posix, const struct timespec *restrict at)
{
    return pthread_mutex_clocklock(posix, CLOCK_REALTIME, at);
}

int pthread_mutex_unlock(pthread_mutex_t *posix)
{
    struct mutex *mutex = (struct mutex *)posix;
    if (mutex->type != PTHREAD_MUTEX_NORMAL) {
        if (mutex->owner != vt_self)
            return EPERM;
        if (mutex->depth) {
            mutex->depth--;
            return 0;
        }
    }
    mutex->owner = NULL;
    vt_thread *next = mutex->waiters.first;
    if (next) {
        if (next->overtaken)
            mutex->owner = next;
        vt_wake_first(&mutex->waiters);
    }
    return 0;
}

int pthread_mutex_consistent(pthread_mutex_t *posix)
{
    (void)posix;
    return EINVAL; /* no mutex here is robust */
}
