/* Read-write locks. Readers may lock again while writers wait (POSIX allows a thread several read
 * locks, which must not deadlock it), and the two sides take turns when both wait. */
#include "vt.h"

#include <errno.h>
#include <limits.h>

struct rwlock {
    vt_thread *writer;
    unsigned readers;
    struct vt_queue waiting_readers, waiting_writers;
};
vt_assert_fits(struct rwlock, pthread_rwlock_t);

int pthread_rwlock_init(pthread_rwlock_t *restrict posix, const pthread_rwlockattr_t *restrict attr)
{
    (void)attr;
    *(struct rwlock *)posix = (struct rwlock){0};
    return 0;
}

int pthread_rwlock_destroy(pthread_rwlock_t *posix)
{
    struct rwlock *lock = (struct rwlock *)posix;
    return lock->writer || lock->readers ? EBUSY : 0;
}

int pthread_rwlock_tryrdlock(pthread_rwlock_t *posix)
{
    struct rwlock *lock = (struct rwlock *)posix;
    if (lock->writer)
        return EBUSY;
    if (lock->readers == UINT_MAX)
        return EAGAIN;
    lock->readers++;
    return 0;
}

int pthread_rwlock_trywrlock(pthread_rwlock_t *posix)
{
    struct rwlock *lock = (struct rwlock *)posix;
    if (lock->writer || lock->readers)
        return EBUSY;
    lock->writer = vt_self;
    return 0;
}

/* Whoever unlocks hands the lock over, so a waiter that was dequeued has it. POSIX: a signal does
 * not end the wait. */
static int wait(struct rwlock *lock, struct vt_queue *queue, int64_t deadline)
{
    if (lock->writer == vt_self)
        return EDEADLK;
    int result = vt_wait(queue, VT_RWLOCK, lock, deadline);
    while (result == EINTR)
        result = vt_wait_again(queue, VT_RWLOCK, lock, deadline);
    return result;
}

int pthread_rwlock_rdlock(pthread_rwlock_t *posix)
{
    struct rwlock *lock = (struct rwlock *)posix;
    int result = pthread_rwlock_tryrdlock(posix);
    return result == EBUSY ? wait(lock, &lock->waiting_readers, VT_FOREVER) : result;
}

int pthread_rwlock_wrlock(pthread_rwlock_t *posix)
{
    struct rwlock *lock = (struct rwlock *)posix;
    int result = pthread_rwlock_trywrlock(posix);
    return result == EBUSY ? wait(lock, &lock->waiting_writers, VT_FOREVER) : result;
}

static int timed_wait(struct rwlock *lock, struct vt_queue *queue, clockid_t clock,
                      const struct timespec *at)
{
    int64_t deadline;
    int error = vt_deadline(clock, at, &deadline);
    return error ? error : wait(lock, queue, deadline);
}

int pthread_rwlock_clockrdlock(pthread_rwlock_t *restrict posix, clockid_t clock,
                               const struct timespec *restrict at)
{
    struct rwlock *lock = (struct rwlock *)posix;
    int result = pthread_rwlock_tryrdlock(posix);
    return result == EBUSY ? timed_wait(lock, &lock->waiting_readers, clock, at) : result;
}

int pthread_rwlock_clockwrlock(pthread_rwlock_t *restrict posix, clockid_t clock,
                               const struct timespec *restrict at)
{
    struct rwlock *lock = (struct rwlock *)posix;
    int result = pthread_rwlock_trywrlock(posix);
    return result == EBUSY ? timed_wait(lock, &lock->waiting_writers, clock, at) : result;
}

int pthread_rwlock_timedrdlock(pthread_rwlock_t *restrict posix, const struct timespec *restrict at)
{
    return pthread_rwlock_clockrdlock(posix, CLOCK_REALTIME, at);
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t *restrict posix, const struct timespec *restrict at)
{
    return pthread_rwlock_clockwrlock(posix, CLOCK_REALTIME, at);
}

static void admit_readers(struct rwlock *lock)
{
    while (vt_wake_first(&lock->waiting_readers))
        lock->readers++;
}

int pthread_rwlock_unlock(pthread_rwlock_t *posix)
{
    struct rwlock *lock = (struct rwlock *)posix;
    if (lock->writer) {
        if (lock->writer != vt_self)
            return EPERM;
        lock->writer = NULL;
        admit_readers(lock);
    } else {
        if (lock->readers == 0)
            return EPERM;
        lock->readers--;
    }
    if (lock->readers == 0)
        lock->writer = vt_wake_first(&lock->waiting_writers);
    return 0;
}
