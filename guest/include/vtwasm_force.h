/* Included before everything else in every object of CPython and its C libraries. */
#ifndef VTWASM_FORCE_H
#define VTWASM_FORCE_H

/* CPython's thread-local variables become plain ones in a section of their own, which `park` keeps
 * per fiber (guest/fiber.c): wasm without threads has no thread-local storage. pyport.h honours a
 * predefined thread_local. */
#ifndef thread_local
#define thread_local __attribute__((section("pytls")))
#endif

/* wasi-libc declares semaphores and does not say so, since it does not define them. */
#ifndef _POSIX_SEMAPHORES
#define _POSIX_SEMAPHORES 200809L
#endif
#ifndef HAVE_SEM_CLOCKWAIT
#define HAVE_SEM_CLOCKWAIT 1
#endif

/* As guest/netdb.c has it; configure looks for it in libc. */
#define HAVE_GAI_STRERROR 1

/* As guest/signal.c has them, for signal.valid_signals and so asyncio's add_signal_handler. */
#define HAVE_SIGFILLSET 1
#define HAVE_SIGINTERRUPT 1
#define HAVE_SIGPENDING 1
#define HAVE_SIGSET_T 1

#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* POSIX.1-2024; wasi-libc's header is older. */
int sem_clockwait(sem_t *restrict, clockid_t, const struct timespec *restrict);

/* Parks the calling thread as one that was asked to give way (guest/python.c). */
void vtwasm_give_way(void);

/* --- The native stack -------------------------------------------------------------------------
 *
 * What a fiber's native stack has for wasm: the host's WASM_STACK (host/vtwasm/src/engine.rs), which
 * refuses a guest that counts on more (python.c tells it), or what a host with less says. wasm code cannot see how much is left, so depth is counted, and these
 * are measured (guest/tests/recursion_paths.py): the most that a path of CPython takes for
 *  - one unit of c_recursion_remaining: 811, and some for another build; most take 250 to 600 bytes;
 *  - one level of the parser: VTWASM_PARSER_LEVEL_STACK;
 *  - one level of marshal: 321.
 * Raise the host's stacks with it. */
#define VTWASM_NATIVE_STACK ((5 << 20) - (128 << 10))
#define VTWASM_UNIT_STACK 900
#define VTWASM_PARSER_LEVEL_STACK 180
#define VTWASM_PARSER_LEVELS 4000
#define VTWASM_PARSER_LEVELS_PER_UNIT 4
/* A parser gets these however deep it starts, so that an endless recursion through eval() ends in
 * the RecursionError that it should, and not in the parser's MemoryError. */
#define VTWASM_PARSER_LEVELS_AT_LEAST 200
#define VTWASM_MARSHAL_LEVELS_PER_UNIT 2
#define VTWASM_C_RECURSION_LIMIT_FOR(native_stack) \
    (((int)(native_stack) - VTWASM_PARSER_LEVEL_STACK * VTWASM_PARSER_LEVELS_AT_LEAST) \
     / VTWASM_UNIT_STACK)
extern int vtwasm_c_recursion_limit;
#define VTWASM_C_RECURSION_LIMIT vtwasm_c_recursion_limit

/* --- The shadow stack -----------------------------------------------------------------------
 *
 * A thread starts on a small shadow stack and moves on to a big one when it needs it
 * (guest/stack.c). Code that recurses asks, before it goes deeper, whether less than
 * VTWASM_STACK_RESERVE is left: that much a function may use before the next check. */
#define VTWASM_STACK_RESERVE 8192

/* Where the running thread's segments end; equal when it has only one. */
extern struct vtwasm_stack_ends {
    uintptr_t base, extension;
} vtwasm_stack_ends;

static inline uintptr_t vtwasm_stack_pointer(void)
{
    uintptr_t sp;
    __asm__(".globaltype __stack_pointer, i32\n"
            "global.get __stack_pointer\n"
            "local.set %0"
            : "=r"(sp));
    return sp;
}

static inline int vtwasm_stack_is_low(void)
{
    uintptr_t sp = vtwasm_stack_pointer();
    return sp - vtwasm_stack_ends.base < VTWASM_STACK_RESERVE
           || sp - vtwasm_stack_ends.extension < VTWASM_STACK_RESERVE;
}

/* Moves the caller, and all that it calls from now on, to a segment with room, if there is one. Its
 * callers go on where they were: each restores the stack pointer from its own frame. Returns
 * nonzero if there was no room. Written in assembler (guest/stack.s), since it must not have a
 * frame of its own. */
int vtwasm_stack_grow(void);

/* The slow path of CPython's recursion checks: _Py_CheckRecursiveCall after vtwasm_stack_grow
 * (guest/recursion.s). */
int vtwasm_check_recursive_call(void *tstate, const char *where);

static inline void vtwasm_stack_ensure(void)
{
    if (vtwasm_stack_is_low())
        (void)vtwasm_stack_grow();
}

/* Moves the caller to a segment with `wanted` bytes if it has less, until it calls
 * vtwasm_stack_shrink with the result. In assembler, too. */
void *vtwasm_stack_extend(size_t wanted);
void vtwasm_stack_shrink(void *extension);

/* The value of a call that needs much stack and will not ask for it. */
#define VTWASM_WITH_STACK(wanted, call)                     \
    __extension__({                                         \
        void *vtwasm_extension = vtwasm_stack_extend(wanted); \
        __auto_type vtwasm_result = (call);                 \
        vtwasm_stack_shrink(vtwasm_extension);              \
        vtwasm_result;                                      \
    })

#endif
