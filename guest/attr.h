/* What libc's opaque attribute objects hold. */
#ifndef VT_ATTR_H
#define VT_ATTR_H

#include "vt.h"

struct vt_attr {
    size_t stack_size, guard_size;
    int detached;
};
vt_assert_fits(struct vt_attr, pthread_attr_t);

/* pthread_mutexattr_t and pthread_condattr_t are one word each. */
static inline int vt_mutex_type(const pthread_mutexattr_t *attr) { return (int)attr->__attr; }
static inline enum vt_clock vt_condition_clock(const pthread_condattr_t *attr)
{
    return (enum vt_clock)attr->__attr;
}

#endif
