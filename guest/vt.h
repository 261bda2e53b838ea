/* vtwasm's C library: what its files share. wit/world.wit is the contract with the host.
 *
 * One fiber of the instance runs at a time and loses the processor only inside `vt_park`, so
 * everything here is plain C: a sequence of statements without a park in it is atomic.
 *
 * Layout, in the order in which a thread meets it:
 *   pthread.c  threads: create, run, exit, join      attr.c   their attributes
 *   stack.c stack.s  shadow stacks: pool, growth     key.c    thread-specific data
 *   fiber.c    the imports; park and the wait queue
 *   tick.s     the budget after which the host looks at what runs
 *   mutex.c cond.c sem.c rwlock.c                    what threads wait for
 *   fd.c wait.c poll.c epoll.c                       descriptors, and waiting for them
 *   stdio.c wasi.c paths.c device.c pipe.c pair.c eventfd.c ring.c   what they name
 *   socket.c inet.c sockopt.c netdb.c services.c     sockets and names (socket.h)
 *   unix.c parcel.c                                  AF_UNIX (unix.h), with pair.c
 *   time.c memory.c signal.c process.c interfaces.c  what libc would ask WASI for by itself
 *   snapshot.c leave.c                               an interpreter's start and end, cut short
 *   python.c calls.c recursion.s sqlite.c main.c      what knows CPython
 */
#ifndef VT_H
#define VT_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* The enums of world.wit, in its order. */
enum vt_reason {
    VT_YIELD, VT_PREEMPT, VT_SLEEP, VT_MUTEX, VT_CONDITION, VT_SEMAPHORE, VT_RWLOCK, VT_JOIN, VT_IO,
    VT_EXIT,
};
enum vt_wake { VT_READY, VT_TIMED_OUT, VT_INTERRUPTED, VT_DEADLOCKED };
enum vt_clock { VT_REALTIME, VT_MONOTONIC };
enum vt_interest { VT_READ, VT_WRITE };

/* No deadline. */
#define VT_FOREVER ((int64_t)-1)

typedef struct __pthread vt_thread;

/* Threads that wait for one object, first come first. All zero is empty, so that the static
 * initialisers of POSIX (PTHREAD_MUTEX_INITIALIZER and its siblings) need no code. */
struct vt_queue {
    vt_thread *first, *last;
};

/* A shadow stack: [bottom, top) in linear memory, growing down. */
struct vt_segment {
    uintptr_t bottom, top;
};

/* A thread's value for a key; void unless the key is of the same generation. */
struct vt_slot {
    void *value;
    uint32_t generation;
};

/* One thread, at the top of its own shadow stack: starting a thread touches one page. */
struct __pthread {
    uint32_t fiber;              /* the host's number; 0 until spawned */
    struct vt_segment stack;     /* the base segment, below this struct */
    struct vt_extension *extension; /* the newest, where its code runs if not in the base */

    vt_thread *next, *previous;  /* in `queue`, or `next` in the free list */
    struct vt_queue *queue;      /* what it waits in; null once it has been dequeued */
    bool overtaken;              /* was woken, found its object taken: next time hand it over */

    uint8_t reason;              /* of its last park, for the report of a deadlock */
    uint32_t subject;

    bool finished, detached;
    bool has_annex;              /* its stack is a pooled one, followed by an annex */
    bool annex_used;
    bool released;               /* its stack is free as soon as the annex is */
    bool refused;                /* its last call: strerror() says why, once (inet.c) */
    int host_error;              /* h_errno */
    vt_thread *joiner;
    void *(*start)(void *);
    void *value;                 /* the argument at first, then the result */
    struct vt_slot slots[2];     /* thread-specific data of the first keys: all that CPython has */
    struct vt_slot *more_slots;  /* of the others; null until first set */
    char name[16];
};

/* What belongs to the running fiber; vt_park puts it back. */
extern vt_thread *vt_self;

/* fiber.c */
#define VT_WOKEN_MAX 31
/* `woken` in world.wit; full as long as the host does not know it. */
struct vt_woken {
    volatile uint32_t count;
    volatile uint32_t fibers[VT_WOKEN_MAX];
};
extern struct vt_woken vt_woken;

void vt_fiber_start(vt_thread *thread); /* the first call on a new fiber, on its own stack */
enum vt_wake vt_park(enum vt_reason reason, uint32_t subject, int64_t deadline);
uint32_t vt_spawn(vt_thread *thread);
/* Threads that have not finished, the main one included. */
unsigned vt_live_threads(void);
void vt_unpark(const vt_thread *thread);
void vt_finish(void);
_Noreturn void vt_exit_process(int code);
uint64_t vt_now(enum vt_clock clock);
uint64_t vt_cpu_time(void);

/* Waits in `queue`. 0: dequeued by a waker; ETIMEDOUT or EINTR: not, and no longer in the queue. */
int vt_wait(struct vt_queue *queue, enum vt_reason reason, const void *subject, int64_t deadline);
/* As vt_wait, but ahead of the others: for a thread that was woken and came too late. */
int vt_wait_again(struct vt_queue *queue, enum vt_reason reason, const void *subject,
                  int64_t deadline);
/* Dequeues the first waiter and makes it ready; null if nobody waits. */
vt_thread *vt_wake_first(struct vt_queue *queue);
void vt_wake_all(struct vt_queue *queue);

/* signal.c: signals that wait for the main thread. A park of it is `interrupted` as long as there
 * are some; they have been delivered when vt_interrupt returns. */
#define VT_MAIN_FIBER 1
extern sigset_t vt_signals;
void vt_interrupt(void);
/* What a waking `deadlocked` means to Python (python.c). */
_Noreturn void vt_report_deadlock(void);

/* time.c: POSIX deadlines as the host's: nanoseconds on the monotonic clock. EINVAL if `at` is no
 * valid time or the clock is neither of the two. */
int vt_deadline(clockid_t clock, const struct timespec *at, int64_t *deadline);

/* stack.c */
#define VT_STACK_SIZE ((size_t)16 << 10) /* unless pthread_attr_setstacksize says otherwise */
void vt_stack_adopt_main(vt_thread *thread);
vt_thread *vt_stack_allocate(size_t size); /* a zeroed thread at the top of its stack, or null */
void vt_stack_release(vt_thread *thread);
/* Memory that comes with the running thread's stack and begins in the page that the thread touches
 * anyway; null if it is in use or not there. It may be given back on any thread. */
#define VT_ANNEX_SIZE ((size_t)16 << 10)
void *vt_annex_take(void);
bool vt_annex_give_back(void *address); /* false: this is no annex */
/* Called when the fiber runs again, and before it parks. */
void vt_stack_enter(const vt_thread *thread);
void vt_stack_leave(vt_thread *thread, uintptr_t sp);
/* Bytes below `sp` in the running fiber's segment. */
size_t vt_stack_room(uintptr_t sp);

/* memory.c: memory that malloc takes from this address on was never used, and so is zero. */
uintptr_t vt_memory_unused(void);

/* snapshot.c: this run has started from an image. */
extern bool vt_is_resumed;

/* key.c */
void vt_keys_destroy(vt_thread *thread);

/* wasi-libc declares it only where it has it. */
_Noreturn void pthread_exit(void *value);

/* C cannot name the stack pointer. Every function keeps its frame in a local and writes the global
 * back from there on return, so a caller is never disturbed by what these leave behind. */
static inline uintptr_t vt_stack_pointer(void)
{
    uintptr_t sp;
    __asm__ volatile(".globaltype __stack_pointer, i32\n"
                     "global.get __stack_pointer\n"
                     "local.set %0"
                     : "=r"(sp));
    return sp;
}

static inline void vt_set_stack_pointer(uintptr_t sp)
{
    __asm__ volatile(".globaltype __stack_pointer, i32\n"
                     "local.get %0\n"
                     "global.set __stack_pointer" ::"r"(sp)
                     : "memory");
}

#define vt_assert_fits(type, posix_type) \
    _Static_assert(sizeof(type) <= sizeof(posix_type) && _Alignof(type) <= _Alignof(posix_type), \
                   #type " must live inside libc's " #posix_type)

#endif
