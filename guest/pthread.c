/* Threads: one fiber each. */
#include "vt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "fd.h"

__attribute__((import_module("[export]$root"), import_name("[task-return]run"))) void
return_from_run(int code);
__attribute__((import_module("[export]$root"), import_name("[task-return]run-thread"))) void
return_from_run_thread(void);

extern int __main_void(void);       /* libc: main() with the arguments from WASI */
extern void __wasm_call_dtors(void); /* libc: atexit() and the flush of stdio, as exit() does */

static vt_thread main_thread = {.fiber = VT_MAIN_FIBER, .name = "main"};

static unsigned live_threads = 1;

unsigned vt_live_threads(void) { return live_threads; }

/* --- the two entry points --- */

/* Runs on a stack that holds nothing of the thread's any more. */
__attribute__((noinline)) static void thread_over(vt_thread *thread)
{
    vt_keys_destroy(thread);
    thread->finished = true;
    /* POSIX: the process ends with status 0 when the last thread has. */
    if (--live_threads == 0)
        exit(0);
    if (thread->joiner)
        vt_unpark(thread->joiner);
    else if (thread->detached)
        vt_stack_release(thread); /* still in use, but by nobody else before this fiber is over */
}

/* A new fiber finds the stack pointer of the one that ran before it. */
__attribute__((export_name("[async-lift-stackful]run-thread"))) void vt_run_thread(vt_thread *thread)
{
    vt_set_stack_pointer(thread->stack.top);
    vt_fiber_start(thread);
    thread->value = thread->start(thread->value);
    vt_set_stack_pointer(thread->stack.top);
    thread_over(thread);
    vt_finish();
    return_from_run_thread();
}

__attribute__((export_name("[async-lift-stackful]run"))) void vt_run(void)
{
    vt_stack_adopt_main(&main_thread);
    vt_set_stack_pointer(main_thread.stack.top);
    vt_fiber_start(&main_thread);
    vt_fd_start();
    int code = __main_void();
    __wasm_call_dtors();
    return_from_run(code);
}

/* --- life and death --- */

int pthread_create(pthread_t *restrict out, const pthread_attr_t *restrict posix_attr,
                   void *(*start)(void *), void *restrict argument)
{
    const struct vt_attr *attr = (const struct vt_attr *)posix_attr;
    vt_thread *thread = vt_stack_allocate(attr ? attr->stack_size : VT_STACK_SIZE);
    if (!thread)
        return EAGAIN;
    thread->start = start;
    thread->value = argument;
    thread->detached = attr && attr->detached;
    thread->fiber = vt_spawn(thread);
    if (thread->fiber == 0) {
        vt_stack_release(thread);
        return EAGAIN;
    }
    live_threads++;
    *out = thread;
    return 0;
}

/* There is no way back to the fiber's root from here, so the fiber stays, with its native stack, until
 * the run ends; all else is given back. CPython comes here only at the interpreter's end. */
_Noreturn void pthread_exit(void *value)
{
    vt_thread *self = vt_self;
    self->value = value;
    vt_set_stack_pointer(self->stack.top);
    thread_over(self);
    for (;;)
        if (vt_park(VT_EXIT, 0, VT_FOREVER) == VT_INTERRUPTED)
            vt_interrupt();
}

static int join(vt_thread *thread, void **value, int64_t deadline)
{
    if (thread == vt_self)
        return EDEADLK;
    if (thread->detached || thread->joiner)
        return EINVAL;
    thread->joiner = vt_self;
    while (!thread->finished) {
        enum vt_wake wake = vt_park(VT_JOIN, (uint32_t)(uintptr_t)thread, deadline);
        if (wake == VT_INTERRUPTED)
            vt_interrupt();
        if (wake == VT_TIMED_OUT && !thread->finished) {
            thread->joiner = NULL;
            return ETIMEDOUT;
        }
    }
    if (value)
        *value = thread->value;
    if (thread != &main_thread)
        vt_stack_release(thread);
    return 0;
}

int pthread_join(pthread_t thread, void **value) { return join(thread, value, VT_FOREVER); }

int pthread_timedjoin_np(pthread_t thread, void **value, const struct timespec *at)
{
    int64_t deadline;
    int error = vt_deadline(CLOCK_REALTIME, at, &deadline);
    return error ? error : join(thread, value, deadline);
}

int pthread_tryjoin_np(pthread_t thread, void **value)
{
    return thread->finished ? join(thread, value, VT_FOREVER) : EBUSY;
}

int pthread_detach(pthread_t thread)
{
    if (thread->detached)
        return EINVAL;
    thread->detached = true;
    if (thread->finished && thread != &main_thread)
        vt_stack_release(thread);
    return 0;
}

/* --- identity --- */

pthread_t pthread_self(void) { return vt_self; }

int(pthread_equal)(pthread_t a, pthread_t b) { return a == b; }

int pthread_setname_np(pthread_t thread, const char *name)
{
    size_t length = strlen(name);
    if (length >= sizeof thread->name)
        return ERANGE;
    memcpy(thread->name, name, length + 1);
    return 0;
}

int pthread_getname_np(pthread_t thread, char *name, size_t size)
{
    size_t length = strlen(thread->name);
    if (length >= size)
        return ERANGE;
    memcpy(name, thread->name, length + 1);
    return 0;
}

/* --- once --- */

/* pthread_once_t is one int, so the waiters of all of them share one queue. */
enum { ONCE_NEW = PTHREAD_ONCE_INIT, ONCE_RUNNING, ONCE_DONE };
static struct vt_queue once_queue;

int pthread_once(pthread_once_t *once, void (*initialise)(void))
{
    while (*once == ONCE_RUNNING)
        vt_wait(&once_queue, VT_CONDITION, once, VT_FOREVER);
    if (*once == ONCE_DONE)
        return 0;
    *once = ONCE_RUNNING;
    initialise();
    *once = ONCE_DONE;
    vt_wake_all(&once_queue);
    return 0;
}
