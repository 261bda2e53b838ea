/* An image of the interpreter: made by one run, at the point where the program would begin, and the
 * start of all others. It may hold what code of the user's left (preload.py).
 *
 * What is in linear memory is in the image. Not in it, and made anew by each run: the fiber with its
 * native stack, what the host and the adapter of WASI know, and what libc remembers of either
 * (environment, preopened folders). What must not be the same in two runs is renewed. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "vtwasm_force.h"

#include "Python.h"

#include "pycore_gc.h"
#include "pycore_initconfig.h"
#include "pycore_interp.h"
#include "pycore_pathconfig.h"
#include "pycore_pyhash.h"
#include "pycore_pylifecycle.h"
#include "pycore_pystate.h"
#include "pycore_sysmodule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "snapshot.h"
#include "vt.h"

#define SNAPSHOT(name) \
    __attribute__((import_module("vtwasm:host/snapshot@0.1.0"), import_name(name)))

SNAPSHOT("wanted") uint32_t snapshot_wanted(void);
SNAPSHOT("take") void snapshot_take(const uint8_t *memory, size_t length);

/* libc's, without declarations. */
extern void __wasilibc_deinitialize_environ(void);
extern void __wasilibc_maybe_reinitialize_environ_eagerly(void);
extern void __wasilibc_reset_preopens(void);
extern char **environ;

/* All null but in an image, and in what starts from it. */
static struct {
    PyThreadState *thread;
    /* Renews what Python code keeps (host/vtwasm/src/preload.py). */
    PyObject *renew;
    /* The standard streams that hold what is written back, and their buffers; then null. */
    PyObject *streams[5];
    /* The last object of the permanent generation. */
    PyObject *last;
} image;

bool vt_is_resumed;

bool vt_snapshot_is_wanted(void) { return snapshot_wanted() != 0; }

/* --- making one --- */

/* Part of it stands in for importlib when modules are imported, so it bears its name: warnings and
 * tracebacks leave its frames out. */
#define PREPARATION "<frozen importlib._bootstrap_external>"

/* Runs the code of `-c` in a namespace of its own; its function `renew` is called at each start. */
static PyObject *run_preparation(const wchar_t *command)
{
    PyObject *text = PyUnicode_FromWideChar(command, -1);
    const char *bytes = text ? PyUnicode_AsUTF8(text) : NULL;
    PyObject *code = bytes ? Py_CompileString(bytes, PREPARATION, Py_file_input) : NULL;
    PyObject *space = PyDict_New();
    PyObject *result = code && space ? PyEval_EvalCode(code, space, space) : NULL;
    PyObject *renew = result ? Py_XNewRef(PyDict_GetItemString(space, "renew")) : NULL;
    Py_XDECREF(result);
    Py_XDECREF(space);
    Py_XDECREF(code);
    Py_XDECREF(text);
    return renew;
}

static int keep_streams(void)
{
    static const char *const names[] = {"stdout", "stderr"};
    for (int i = 0; i < 2; i++) {
        PyObject *stream = PySys_GetObject(names[i]);
        PyObject *buffer = stream ? PyObject_GetAttrString(stream, "buffer") : NULL;
        if (!buffer)
            return -1;
        image.streams[2 * i] = Py_NewRef(stream);
        image.streams[2 * i + 1] = buffer;
    }
    return 0;
}

/* Nothing of it is garbage, ever: collections leave it alone from now on, and so it stays shared. */
static int freeze(PyInterpreterState *interp)
{
    PyGC_Collect();
    _PyGC_Freeze(interp);
    image.last = PyList_New(0);
    _PyGC_Freeze(interp);
    return image.last ? 0 : -1;
}

/* What calls have left below the stack pointer is not worth keeping. */
__attribute__((noinline)) static void clear_dead_stack(void)
{
    extern char __stack_low[];
    volatile char here;
    memset(__stack_low, 0, (size_t)(&here - __stack_low) - 256);
}

_Noreturn void vt_snapshot_make(void)
{
    const PyConfig *config = _Py_GetConfig();
    /* The streams first, for the user's code may put others in their place. */
    int error = keep_streams();
    PyObject *renew = config->run_command && error == 0 ? run_preparation(config->run_command) : NULL;
    unsigned others = vt_live_threads() - 1;
    if (renew && others > 0) {
        fprintf(stderr, "threads still alive: %u; join them, shut executors down\n", others);
        vt_exit_process(1);
    }
    if (!renew || freeze(_PyInterpreterState_GET()) < 0) {
        PyErr_Print();
        vt_exit_process(1);
    }
    image.renew = renew;
    image.thread = PyEval_SaveThread();
    int open = vt_fd_stop();
    if (open >= 0) {
        fprintf(stderr, "descriptor %d is open; close files and sockets\n", open);
        vt_exit_process(1);
    }
    __wasilibc_deinitialize_environ();
    __wasilibc_reset_preopens();
    clear_dead_stack();
    snapshot_take((const uint8_t *)0, (size_t)__builtin_wasm_memory_size(0) << 16);
    __builtin_trap();
}

/* --- starting from one --- */

/* The host lets the component call it in place of libc's initialisers, which have run in an image. */
__attribute__((export_name("vt_initialize"))) void vt_initialize(void)
{
    extern void _initialize(void);
    if (!image.thread)
        _initialize();
}

bool vt_snapshot_is_there(void) { return image.thread != NULL; }

/* False, too, if the last object of the image is not the last any more: gc.freeze() was called. */
bool vt_snapshot_is_untouched(PyInterpreterState *interp)
{
    PyGC_Head *head = &interp->gc.permanent_generation.head;
    return image.last && _Py_FROM_GC(_PyGCHead_PREV(head)) == image.last;
}

PyObject *const *vt_snapshot_streams(void) { return image.streams; }

void vt_snapshot_let_go(PyInterpreterState *interp)
{
    if (vt_snapshot_is_untouched(interp))
        _PyGC_Unfreeze(interp);
    for (PyObject **stream = image.streams; *stream; stream++)
        Py_CLEAR(*stream);
}

void vt_snapshot_enter(void)
{
    vt_is_resumed = true;
    __wasilibc_maybe_reinitialize_environ_eagerly();
    /* The one part of Python's secret that nothing in the image depends on: expat's hashes. */
    if (getentropy(&_Py_HashSecret.expat.hashsalt, sizeof _Py_HashSecret.expat.hashsalt) != 0)
        abort();
}

/* As posix.environ is made; os.environ wraps the same dictionary. */
static int renew_environment(void)
{
    PyObject *module = PyImport_ImportModule("posix");
    PyObject *variables = module ? PyObject_GetAttrString(module, "environ") : NULL;
    if (!variables)
        return -1;
    PyDict_Clear(variables);
    for (char **entry = environ; entry && *entry; entry++) {
        const char *end = strchr(*entry, '=');
        if (!end)
            continue;
        PyObject *name = PyBytes_FromStringAndSize(*entry, end - *entry);
        PyObject *value = PyBytes_FromString(end + 1);
        if (name && value)
            PyDict_SetDefaultRef(variables, name, value, NULL);
        Py_XDECREF(name);
        Py_XDECREF(value);
    }
    Py_DECREF(variables);
    Py_DECREF(module);
    return PyErr_Occurred() ? -1 : 0;
}

/* Streams that are terminals. (In an image none is.) */
static int renew_streams(void)
{
    static const char *const names[] = {"stdin", "stdout"};
    for (int fd = 0; fd < 2; fd++) {
        if (!isatty(fd))
            continue;
        PyObject *stream = PySys_GetObject(names[fd]);
        PyObject *method = stream ? PyObject_GetAttrString(stream, "reconfigure") : NULL;
        PyObject *arguments = PyTuple_New(0);
        PyObject *keywords = Py_BuildValue("{s:O}", "line_buffering", Py_True);
        PyObject *result = method && arguments && keywords ? PyObject_Call(method, arguments, keywords) : NULL;
        Py_XDECREF(keywords);
        Py_XDECREF(arguments);
        Py_XDECREF(method);
        if (!result)
            return -1;
        Py_DECREF(result);
    }
    return 0;
}

static PyStatus take_over(PyConfig *config)
{
    PyThreadState *tstate = _PyThreadState_GET();
    PyInterpreterState *interp = tstate->interp;
    PyStatus status = _PyConfig_Read(config, 0);
    if (PyStatus_Exception(status))
        return status;
    PyConfig old = interp->config;
    interp->config = *config;
    *config = old;
    /* The codec's own name for it. */
    wchar_t *encoding = interp->config.filesystem_encoding;
    interp->config.filesystem_encoding = config->filesystem_encoding;
    config->filesystem_encoding = encoding;
    status = _PyConfig_Write(&interp->config, interp->runtime);
    if (!PyStatus_Exception(status))
        status = _PyPathConfig_UpdateGlobal(&interp->config);
    if (PyStatus_Exception(status))
        return status;
    interp->long_state.max_str_digits = interp->config.int_max_str_digits;
    if (_PySys_UpdateConfig(tstate) < 0)
        return PyStatus_Error("cannot update sys");
    return PyStatus_Ok();
}

PyStatus vt_snapshot_resume(PyConfig *config)
{
    PyEval_RestoreThread(image.thread);
    image.thread = NULL;
    PyStatus status = take_over(config);
    if (PyStatus_Exception(status))
        return status;
    if (renew_environment() < 0 || renew_streams() < 0)
        goto error;
    PyObject *result = PyObject_CallNoArgs(image.renew);
    if (!result)
        goto error;
    Py_DECREF(result);
    return PyStatus_Ok();
error:
    PyErr_Print();
    return PyStatus_Error("cannot start from the snapshot");
}
