/* Semaphores: CPython's locks. Who gets a released one is said in mutex.c. */
#include "vt.h"

#include <errno.h>
#include <limits.h>
#include <semaphore.h>

/* POSIX has it in <limits.h>; wasi-libc hides it. */
#define SEM_VALUE_MAX INT_MAX

struct semaphore {
    unsigned value;
    struct vt_queue waiters;
};
vt_assert_fits(struct semaphore, sem_t);

static int fail(int error)
{
    errno = error;
    return -1;
}

int sem_init(sem_t *posix, int shared, unsigned value)
{
    (void)shared; /* there is one process */
    if (value > SEM_VALUE_MAX)
        return fail(EINVAL);
    *(struct semaphore *)posix = (struct semaphore){.value = value};
    return 0;
}

int sem_destroy(sem_t *posix)
{
    return ((struct semaphore *)posix)->waiters.first ? fail(EBUSY) : 0;
}

int sem_getvalue(sem_t *restrict posix, int *restrict value)
{
    *value = (int)((struct semaphore *)posix)->value;
    return 0;
}

int sem_trywait(sem_t *posix)
{
    struct semaphore *semaphore = (struct semaphore *)posix;
    if (semaphore->value == 0)
        return fail(EAGAIN);
    semaphore->value--;
    return 0;
}

static int wait(struct semaphore *semaphore, int64_t deadline)
{
    vt_thread *self = vt_self;
    int result = vt_wait(&semaphore->waiters, VT_SEMAPHORE, semaphore, deadline);
    while (result == 0) {
        if (self->overtaken)
            break; /* the post was handed over and never counted */
        if (semaphore->value > 0) {
            semaphore->value--;
            break;
        }
        self->overtaken = true;
        result = vt_wait_again(&semaphore->waiters, VT_SEMAPHORE, semaphore, deadline);
    }
    self->overtaken = false;
    return result ? fail(result) : 0;
}

int sem_wait(sem_t *posix)
{
    struct semaphore *semaphore = (struct semaphore *)posix;
    if (semaphore->value > 0) {
        semaphore->value--;
        return 0;
    }
    return wait(semaphore, VT_FOREVER);
}

int sem_clockwait(sem_t *restrict posix, clockid_t clock, const struct timespec *restrict at)
{
    struct semaphore *semaphore = (struct semaphore *)posix;
    if (semaphore->value > 0) {
        semaphore->value--;
        return 0; /* POSIX: `at` need not be valid then */
    }
    int64_t deadline;
    int error = vt_deadline(clock, at, &deadline);
    return error ? fail(error) : wait(semaphore, deadline);
}

int sem_timedwait(sem_t *restrict posix, const struct timespec *restrict at)
{
    return sem_clockwait(posix, CLOCK_REALTIME, at);
}

int sem_post(sem_t *posix)
{
    struct semaphore *semaphore = (struct semaphore *)posix;
    vt_thread *next = semaphore->waiters.first;
    if (!next || !next->overtaken) {
        if (semaphore->value == SEM_VALUE_MAX)
            return fail(EOVERFLOW);
        semaphore->value++;
    }
    vt_wake_first(&semaphore->waiters);
    return 0;
}
