/* What knows CPython's insides: the control block, giving way, interrupts, deadlocks, and the room
 * that its recursion checks do not see. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "vtwasm_force.h"

#include "Python.h"

#include "pycore_ceval.h"
#include "pycore_interp.h"
#include "pycore_pyerrors.h"
#include "pycore_pystate.h"
#include "pycore_runtime.h"
#include "pycore_symtable.h"
#include "pycore_traceback.h"

#include <stdio.h>
#include <unistd.h>

#include "vt.h"

/* --- the control block (fibers.control in world.wit) --- */

static struct {
    uint32_t version;
    uint32_t tstate;
    uint32_t breaker_offset;
    uint32_t breaker_bit;
    uint32_t interval_us;
    uint32_t native_stack;
    uint32_t woken;
    uint32_t reserved;
} control = {
    .version = 4,
    .breaker_offset = offsetof(PyThreadState, eval_breaker),
    .breaker_bit = _PY_GIL_DROP_REQUEST_BIT,
    .interval_us = 5000,
    .native_stack = VTWASM_NATIVE_STACK,
};

__attribute__((import_module("vtwasm:host/fibers@0.1.0"), import_name("control"))) void
fibers_control(const void *address, const void *bytes, size_t length);

/* --- the frames of Python functions --- */

/* CPython takes them from chunks of this size, and one is as much as most threads ever need. Its
 * arenas come here as well; they are larger. */
#define CHUNK_SIZE VT_ANNEX_SIZE

static PyObjectArenaAllocator arenas;

static void *allocate_arena(void *context, size_t size)
{
    if (size != CHUNK_SIZE)
        return arenas.alloc(context, size);
    void *annex = vt_annex_take();
    return annex ? annex : aligned_alloc(4096, size);
}

static void free_arena(void *context, void *address, size_t size)
{
    if (size != CHUNK_SIZE)
        arenas.free(context, address, size);
    else if (!vt_annex_give_back(address))
        free(address);
}

/* Once: a run that starts from an image has been here. */
static void use_annexes(void)
{
    if (arenas.alloc)
        return;
    PyObject_GetArenaAllocator(&arenas);
    PyObject_SetArenaAllocator(&(PyObjectArenaAllocator){arenas.ctx, allocate_arena, free_arena});
}

int vtwasm_c_recursion_limit = VTWASM_C_RECURSION_LIMIT_FOR(VTWASM_NATIVE_STACK);

/* The host has fewer units for a thread than Python counts on; an image's thread counts already. */
static void limit_recursion(uint32_t native_stack)
{
    int limit = VTWASM_C_RECURSION_LIMIT_FOR(native_stack);
    if (vt_is_resumed)
        _PyRuntime.main_tstate->c_recursion_remaining += limit - vtwasm_c_recursion_limit;
    vtwasm_c_recursion_limit = limit;
}

void vt_python_start(void)
{
    use_annexes();
    control.native_stack = VTWASM_NATIVE_STACK;
    control.tstate = (uint32_t)(uintptr_t)&_Py_tss_tstate;
    control.woken = (uint32_t)(uintptr_t)&vt_woken;
    vt_woken.count = 0;
    fibers_control(&control, &control, sizeof control);
    limit_recursion(control.native_stack);
}

void __real__PyEval_SetSwitchInterval(unsigned long microseconds);

void __wrap__PyEval_SetSwitchInterval(unsigned long microseconds)
{
    control.interval_us = microseconds > 0 ? (uint32_t)microseconds : 1;
    __real__PyEval_SetSwitchInterval(microseconds);
}

/* --- giving way, and leaving --- */

/* Called between dropping and taking the GIL (guest/patches/), with the thread state detached. */
void vtwasm_give_way(void)
{
    if (vt_park(VT_PREEMPT, 0, VT_FOREVER) == VT_INTERRUPTED)
        vt_interrupt();
}

/* CPython's aborts on WASI, for want of pthread_exit. */
_Noreturn void __wrap_PyThread_exit_thread(void) { pthread_exit(NULL); }

/* --- deadlock --- */

static const char *const waits_for[] = {
    [VT_YIELD] = "its turn",          [VT_PREEMPT] = "its turn", [VT_SLEEP] = "a time",
    [VT_MUTEX] = "a mutex",           [VT_CONDITION] = "a condition",
    [VT_SEMAPHORE] = "a lock",        [VT_RWLOCK] = "a read-write lock",
    [VT_JOIN] = "the end of a thread", [VT_IO] = "input or output", [VT_EXIT] = "nothing",
};

static void print_waits(PyInterpreterState *interp)
{
    for (PyThreadState *ts = interp->threads.head; ts; ts = ts->next) {
        const vt_thread *thread = (const vt_thread *)ts->thread_id;
        if (thread)
            fprintf(stderr, "Thread 0x%08lx waits for %s (0x%08lx)\n", ts->thread_id,
                    waits_for[thread->reason], (unsigned long)thread->subject);
    }
}

/* What the program printed so far must not be lost. The GIL is free unless a thread parked with it,
 * and then there is nothing to be done. */
static void flush_stdout(void)
{
    struct _gil_runtime_state *gil = _PyInterpreterState_Main()->ceval.gil;
    if (!gil || gil->locked)
        return;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *file = PySys_GetObject("stdout");
    if (file && file != Py_None)
        Py_XDECREF(PyObject_CallMethod(file, "flush", NULL));
    PyErr_Clear();
    PyGILState_Release(state);
}

_Noreturn void vt_report_deadlock(void)
{
    /* Flushing may wait for a lock that a dead thread holds. */
    static enum { FIRST, FLUSHING, REPORTING } stage;
    if (stage == REPORTING || !Py_IsInitialized())
        vt_exit_process(1);
    if (stage == FIRST) {
        stage = FLUSHING;
        flush_stdout();
    }
    stage = REPORTING;
    PyInterpreterState *interp = _PyInterpreterState_Main();
    static const char heading[] = "Deadlock: every thread waits, and nothing can wake one.\n\n";
    write(STDERR_FILENO, heading, sizeof heading - 1);
    const char *error = _Py_DumpTracebackThreads(STDERR_FILENO, interp, NULL);
    if (error)
        fprintf(stderr, "(no traceback: %s)\n", error);
    fputc('\n', stderr);
    print_waits(interp);
    vt_exit_process(1);
}

/* --- recursion --- */

/* As much as an exception may need to be made and handled in. */
#define HEADROOM (VTWASM_STACK_RESERVE / 2)

static bool has_headroom(void)
{
    uintptr_t sp = vt_stack_pointer();
    return sp - vtwasm_stack_ends.base >= HEADROOM && sp - vtwasm_stack_ends.extension >= HEADROOM;
}

/* _Py_CheckRecursiveCall's answer when there is no shadow stack left, whatever its counter says. */
int vt_recursion_error(PyThreadState *tstate, const char *where)
{
    if (tstate->recursion_headroom) {
        if (!has_headroom())
            Py_FatalError("Cannot recover from stack overflow.");
        return 0;
    }
    tstate->recursion_headroom++;
    _PyErr_Format(tstate, PyExc_RecursionError, "maximum recursion depth exceeded%s", where);
    tstate->recursion_headroom--;
    tstate->c_recursion_remaining++;
    return -1;
}

/* --- functions that need much stack and do not ask --- */

#define WITH_STACK(wanted, type, name, parameters, arguments)            \
    type __real_##name parameters;                                       \
    type __wrap_##name parameters                                        \
    {                                                                    \
        return VTWASM_WITH_STACK(wanted, __real_##name arguments);       \
    }

/* The compiler's passes count their own depth, down from c_recursion_remaining. Its largest frames
 * take so much for a level. */
#define COMPILER_LEVEL ((size_t)2400)
#define COMPILER_STACK ((size_t)3 << 20)

/* As many levels as there is stack for; returns how many were taken away. */
static int limit_compiler_depth(void)
{
    PyThreadState *tstate = _PyThreadState_GET();
    int levels = (int)(vt_stack_room(vt_stack_pointer()) / COMPILER_LEVEL);
    int excess = tstate->c_recursion_remaining - levels;
    if (excess <= 0)
        return 0;
    tstate->c_recursion_remaining -= excess;
    return excess;
}

#define COMPILER_PASS(type, name, parameters, arguments)              \
    type __real_##name parameters;                                    \
    __attribute__((noinline)) static type limited_##name parameters   \
    {                                                                 \
        int excess = limit_compiler_depth();                          \
        type result = __real_##name arguments;                        \
        _PyThreadState_GET()->c_recursion_remaining += excess;        \
        return result;                                                \
    }                                                                 \
    type __wrap_##name parameters                                     \
    {                                                                 \
        return VTWASM_WITH_STACK(COMPILER_STACK, limited_##name arguments); \
    }

COMPILER_PASS(PyCodeObject *, _PyAST_Compile,
              (struct _mod * mod, PyObject *filename, PyCompilerFlags *flags, int optimize,
               struct _arena *arena),
              (mod, filename, flags, optimize, arena))
COMPILER_PASS(int, _PyAST_Validate, (struct _mod * mod), (mod))
COMPILER_PASS(int, _PyAST_Optimize,
              (struct _mod * mod, struct _arena *arena, int optimize, int features),
              (mod, arena, optimize, features))
COMPILER_PASS(PyObject *, PyAST_mod2obj, (struct _mod * mod), (mod))
COMPILER_PASS(struct symtable *, _PySymtable_Build,
              (struct _mod * mod, PyObject *filename, _PyFutureFeatures *future),
              (mod, filename, future))
COMPILER_PASS(struct symtable *, _Py_SymtableStringObjectFlags,
              (const char *source, PyObject *filename, int start, PyCompilerFlags *flags),
              (source, filename, start, flags))

/* libmpdec transposes in tiles of 64 KiB. */
WITH_STACK(192 << 10, int, transpose_pow2, (unsigned *matrix, size_t rows, size_t columns),
           (matrix, rows, columns))

/* Expat calls back through five frames of its own. */
#define EXPAT_UNITS 3

#define WITH_UNITS(units, type, name, parameters, arguments)          \
    type __real_##name parameters;                                    \
    type __wrap_##name parameters                                     \
    {                                                                 \
        _PyThreadState_GET()->c_recursion_remaining -= (units);       \
        type result = __real_##name arguments;                        \
        _PyThreadState_GET()->c_recursion_remaining += (units);       \
        return result;                                                \
    }

typedef struct XML_ParserStruct *XML_Parser;

WITH_UNITS(EXPAT_UNITS, int, PyExpat_XML_Parse,
           (XML_Parser parser, const char *text, int length, int final),
           (parser, text, length, final))
WITH_UNITS(EXPAT_UNITS, int, PyExpat_XML_ParseBuffer, (XML_Parser parser, int length, int final),
           (parser, length, final))
