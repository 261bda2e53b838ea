/* The imports, the one place that gives up the processor, and the queues of those who wait. */
#include "vt.h"

#include <errno.h>
#include <signal.h>

#define FIBERS(name) __attribute__((import_module("vtwasm:host/fibers@0.1.0"), import_name(name)))
#define CLOCKS(name) __attribute__((import_module("vtwasm:host/clocks@0.1.0"), import_name(name)))

FIBERS("spawn") uint32_t fibers_spawn(vt_thread *thread);
FIBERS("park") uint32_t fibers_park(uint32_t reason, uint32_t subject, int64_t deadline);
FIBERS("unpark") void fibers_unpark(uint32_t fiber);
FIBERS("finish") void fibers_finish(void);
FIBERS("exit") void fibers_exit(uint32_t code);
FIBERS("tick") uint32_t fibers_tick(void);
CLOCKS("now") uint64_t clocks_now(uint32_t clock);
CLOCKS("cpu-time") uint64_t clocks_cpu_time(void);

/* CPython's thread-local variables: vtwasm_force.h gathers them in one section. */
extern uint32_t __start_pytls[], __stop_pytls[];

/* Two words are what CPython 3.13 has (the current thread state and the package context);
 * vt_fiber_start checks it. A constant keeps park free of a loop. */
#define THREAD_LOCAL_WORDS 2

/* For tick.s, which cannot name an import of the host's. */
uint32_t vt_ask_for_budget(void) { return fibers_tick(); }

vt_thread *vt_self;

struct vt_woken vt_woken = {.count = VT_WOKEN_MAX};

void vt_fiber_start(vt_thread *thread)
{
    if (__stop_pytls - __start_pytls != THREAD_LOCAL_WORDS)
        __builtin_trap();
    vt_self = thread;
    vt_stack_enter(thread);
    __start_pytls[0] = __start_pytls[1] = 0;
    errno = 0;
}

sigset_t vt_signals;

/* What a wake of the host's means to the main thread, which all signals are for. */
static enum vt_wake main_wake(enum vt_wake wake)
{
    if (wake == VT_DEADLOCKED)
        vt_report_deadlock();
    if (wake == VT_INTERRUPTED)
        sigaddset(&vt_signals, SIGINT);
    return vt_signals ? VT_INTERRUPTED : wake;
}

/* Must not be inlined: the stack pointer that it reads and puts back is its own frame's, whatever
 * the fibers that run meanwhile leave in the global. */
__attribute__((noinline)) enum vt_wake vt_park(enum vt_reason reason, uint32_t subject,
                                               int64_t deadline)
{
    vt_thread *self = vt_self;
    int saved_errno = errno;
    uint32_t local0 = __start_pytls[0], local1 = __start_pytls[1];
    uintptr_t sp = vt_stack_pointer();

    vt_stack_leave(self, sp);
    self->reason = (uint8_t)reason;
    self->subject = subject;
    enum vt_wake wake = fibers_park(reason, subject, deadline);

    vt_set_stack_pointer(sp);
    vt_self = self;
    vt_stack_enter(self);
    __start_pytls[0] = local0;
    __start_pytls[1] = local1;
    errno = saved_errno;
    if (self->fiber == VT_MAIN_FIBER)
        return main_wake(wake);
    return wake;
}

uint32_t vt_spawn(vt_thread *thread) { return fibers_spawn(thread); }

void vt_unpark(const vt_thread *thread)
{
    uint32_t count = vt_woken.count;
    if (count == VT_WOKEN_MAX) {
        fibers_unpark(thread->fiber);
        return;
    }
    vt_woken.fibers[count] = thread->fiber;
    vt_woken.count = count + 1;
}

void vt_finish(void) { fibers_finish(); }
uint64_t vt_now(enum vt_clock clock) { return clocks_now(clock); }
uint64_t vt_cpu_time(void) { return clocks_cpu_time(); }

_Noreturn void vt_exit_process(int code)
{
    fibers_exit((uint32_t)code);
    __builtin_trap();
}

static void append(struct vt_queue *queue, vt_thread *thread)
{
    thread->queue = queue;
    thread->next = NULL;
    thread->previous = queue->last;
    if (queue->last)
        queue->last->next = thread;
    else
        queue->first = thread;
    queue->last = thread;
}

static void prepend(struct vt_queue *queue, vt_thread *thread)
{
    thread->queue = queue;
    thread->previous = NULL;
    thread->next = queue->first;
    if (queue->first)
        queue->first->previous = thread;
    else
        queue->last = thread;
    queue->first = thread;
}

static void detach(vt_thread *thread)
{
    struct vt_queue *queue = thread->queue;
    if (thread->previous)
        thread->previous->next = thread->next;
    else
        queue->first = thread->next;
    if (thread->next)
        thread->next->previous = thread->previous;
    else
        queue->last = thread->previous;
    thread->queue = NULL;
}

/* Parks until somebody dequeues the calling thread. A waker and the clock may both come before it
 * runs again; whoever dequeued it wins. */
static int wait_in_queue(enum vt_reason reason, const void *subject, int64_t deadline)
{
    vt_thread *self = vt_self;
    for (;;) {
        enum vt_wake wake = vt_park(reason, (uint32_t)(uintptr_t)subject, deadline);
        if (wake == VT_INTERRUPTED)
            vt_interrupt(); /* the handler may park, and so be dequeued */
        if (self->queue == NULL)
            return 0;
        if (wake == VT_READY)
            continue;
        detach(self);
        return wake == VT_TIMED_OUT ? ETIMEDOUT : EINTR;
    }
}

int vt_wait(struct vt_queue *queue, enum vt_reason reason, const void *subject, int64_t deadline)
{
    append(queue, vt_self);
    return wait_in_queue(reason, subject, deadline);
}

int vt_wait_again(struct vt_queue *queue, enum vt_reason reason, const void *subject,
                  int64_t deadline)
{
    prepend(queue, vt_self);
    return wait_in_queue(reason, subject, deadline);
}

vt_thread *vt_wake_first(struct vt_queue *queue)
{
    vt_thread *thread = queue->first;
    if (thread) {
        detach(thread);
        vt_unpark(thread);
    }
    return thread;
}

void vt_wake_all(struct vt_queue *queue)
{
    while (vt_wake_first(queue))
        ;
}
