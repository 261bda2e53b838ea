/* Attribute objects. What this instance has only one of (scope, process sharing, robustness) can be
 * set to that one; anything else is ENOTSUP, as POSIX provides. */
#include "attr.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* --- threads --- */

int pthread_attr_init(pthread_attr_t *posix)
{
    memset(posix, 0, sizeof *posix);
    ((struct vt_attr *)posix)->stack_size = VT_STACK_SIZE;
    return 0;
}

int pthread_attr_destroy(pthread_attr_t *posix)
{
    (void)posix;
    return 0;
}

int pthread_attr_setstacksize(pthread_attr_t *posix, size_t size)
{
    if (size < PTHREAD_STACK_MIN)
        return EINVAL;
    ((struct vt_attr *)posix)->stack_size = size;
    return 0;
}

int pthread_attr_getstacksize(const pthread_attr_t *restrict posix, size_t *restrict size)
{
    *size = ((const struct vt_attr *)posix)->stack_size;
    return 0;
}

/* Kept for the getter; every stack has the same guard (stack.c). */
int pthread_attr_setguardsize(pthread_attr_t *posix, size_t size)
{
    ((struct vt_attr *)posix)->guard_size = size;
    return 0;
}

int pthread_attr_getguardsize(const pthread_attr_t *restrict posix, size_t *restrict size)
{
    *size = ((const struct vt_attr *)posix)->guard_size;
    return 0;
}

int pthread_attr_setdetachstate(pthread_attr_t *posix, int state)
{
    if (state != PTHREAD_CREATE_JOINABLE && state != PTHREAD_CREATE_DETACHED)
        return EINVAL;
    ((struct vt_attr *)posix)->detached = state == PTHREAD_CREATE_DETACHED;
    return 0;
}

int pthread_attr_getdetachstate(const pthread_attr_t *posix, int *state)
{
    *state = ((const struct vt_attr *)posix)->detached ? PTHREAD_CREATE_DETACHED
                                                       : PTHREAD_CREATE_JOINABLE;
    return 0;
}

int pthread_attr_setscope(pthread_attr_t *posix, int scope)
{
    (void)posix;
    return scope == PTHREAD_SCOPE_SYSTEM ? 0 : ENOTSUP;
}

int pthread_attr_getscope(const pthread_attr_t *restrict posix, int *restrict scope)
{
    (void)posix;
    *scope = PTHREAD_SCOPE_SYSTEM;
    return 0;
}

int pthread_getattr_np(pthread_t thread, pthread_attr_t *posix)
{
    pthread_attr_init(posix);
    struct vt_attr *attr = (struct vt_attr *)posix;
    attr->stack_size = thread->stack.top - thread->stack.bottom;
    attr->detached = thread->detached;
    return 0;
}

/* --- mutexes --- */

int pthread_mutexattr_init(pthread_mutexattr_t *attr)
{
    attr->__attr = PTHREAD_MUTEX_DEFAULT;
    return 0;
}

int pthread_mutexattr_destroy(pthread_mutexattr_t *attr)
{
    (void)attr;
    return 0;
}

int pthread_mutexattr_settype(pthread_mutexattr_t *attr, int type)
{
    if (type != PTHREAD_MUTEX_NORMAL && type != PTHREAD_MUTEX_RECURSIVE
        && type != PTHREAD_MUTEX_ERRORCHECK)
        return EINVAL;
    attr->__attr = (unsigned)type;
    return 0;
}

int pthread_mutexattr_gettype(const pthread_mutexattr_t *restrict attr, int *restrict type)
{
    *type = vt_mutex_type(attr);
    return 0;
}

static int only(int value, int supported) { return value == supported ? 0 : ENOTSUP; }

int pthread_mutexattr_setpshared(pthread_mutexattr_t *attr, int shared)
{
    (void)attr;
    return only(shared, PTHREAD_PROCESS_PRIVATE);
}

int pthread_mutexattr_getpshared(const pthread_mutexattr_t *restrict attr, int *restrict shared)
{
    (void)attr;
    *shared = PTHREAD_PROCESS_PRIVATE;
    return 0;
}

int pthread_mutexattr_setrobust(pthread_mutexattr_t *attr, int robust)
{
    (void)attr;
    return only(robust, PTHREAD_MUTEX_STALLED);
}

int pthread_mutexattr_getrobust(const pthread_mutexattr_t *restrict attr, int *restrict robust)
{
    (void)attr;
    *robust = PTHREAD_MUTEX_STALLED;
    return 0;
}

int pthread_mutexattr_setprotocol(pthread_mutexattr_t *attr, int protocol)
{
    (void)attr;
    return only(protocol, PTHREAD_PRIO_NONE);
}

int pthread_mutexattr_getprotocol(const pthread_mutexattr_t *restrict attr, int *restrict protocol)
{
    (void)attr;
    *protocol = PTHREAD_PRIO_NONE;
    return 0;
}

/* --- conditions --- */

int pthread_condattr_init(pthread_condattr_t *attr)
{
    attr->__attr = VT_REALTIME;
    return 0;
}

int pthread_condattr_destroy(pthread_condattr_t *attr)
{
    (void)attr;
    return 0;
}

int pthread_condattr_setclock(pthread_condattr_t *attr, clockid_t clock)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    attr->__attr = clock == CLOCK_MONOTONIC ? VT_MONOTONIC : VT_REALTIME;
    return 0;
}

int pthread_condattr_getclock(const pthread_condattr_t *restrict attr, clockid_t *restrict clock)
{
    *clock = vt_condition_clock(attr) == VT_MONOTONIC ? CLOCK_MONOTONIC : CLOCK_REALTIME;
    return 0;
}

int pthread_condattr_setpshared(pthread_condattr_t *attr, int shared)
{
    (void)attr;
    return only(shared, PTHREAD_PROCESS_PRIVATE);
}

int pthread_condattr_getpshared(const pthread_condattr_t *restrict attr, int *restrict shared)
{
    (void)attr;
    *shared = PTHREAD_PROCESS_PRIVATE;
    return 0;
}

/* --- read-write locks --- */

int pthread_rwlockattr_init(pthread_rwlockattr_t *attr)
{
    memset(attr, 0, sizeof *attr);
    return 0;
}

int pthread_rwlockattr_destroy(pthread_rwlockattr_t *attr)
{
    (void)attr;
    return 0;
}

int pthread_rwlockattr_setpshared(pthread_rwlockattr_t *attr, int shared)
{
    (void)attr;
    return only(shared, PTHREAD_PROCESS_PRIVATE);
}

int pthread_rwlockattr_getpshared(const pthread_rwlockattr_t *restrict attr, int *restrict shared)
{
    (void)attr;
    *shared = PTHREAD_PROCESS_PRIVATE;
    return 0;
}
