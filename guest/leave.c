/* Leaving without taking the interpreter apart, where nobody could tell.
 *
 * Py_FinalizeEx takes ten times as long as a small program, and most of it frees memory that goes
 * away anyway. What else it does: it waits for threads, calls what atexit holds, flushes the standard
 * streams; that is done here. And it ends the life of objects, which a program sees if one has a
 * finaliser: a file that is still open is written out, a __del__ is called. In a run that starts from
 * an image, the collector's lists hold what this program made and nothing else (guest/snapshot.c), so
 * they are searched for such objects; one is enough for the long way. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "vtwasm_force.h"

#include "Python.h"

#include "pycore_ceval.h"
#include "pycore_frame.h"
#include "pycore_gc.h"
#include "pycore_genobject.h"
#include "pycore_interp.h"
#include "pycore_pylifecycle.h"
#include "pycore_pystate.h"
#include "pycore_runtime.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

int __real_Py_FinalizeEx(void);

/* --- what a program could see --- */

/* Callbacks that do no more than forget what is gone. */
static bool only_forgets(PyObject *callback)
{
    if (PyCFunction_Check(callback))
        return strcmp(((PyCFunctionObject *)callback)->m_ml->ml_name, "clear_locals") == 0; /* threading.local */
    PyObject *name = PyObject_GetAttrString(callback, "__module__");
    bool result = name && PyUnicode_Check(name)
                  && (PyUnicode_EqualToUTF8(name, "logging") || PyUnicode_EqualToUTF8(name, "weakref")
                      || PyUnicode_EqualToUTF8(name, "_weakrefset"));
    Py_XDECREF(name);
    PyErr_Clear();
    return result;
}

/* A generator that is left in the middle still has `finally` to run; a coroutine that was never
 * awaited is complained about. */
static bool is_unfinished(PyObject *object)
{
    int state = ((PyGenObject *)object)->gi_frame_state;
    return !FRAME_STATE_FINISHED(state) && !(PyGen_CheckExact(object) && state == FRAME_CREATED);
}

static bool is_closed(PyObject *stream)
{
    PyObject *closed = PyObject_GetAttrString(stream, "closed");
    bool result = closed && PyObject_IsTrue(closed) > 0;
    Py_XDECREF(closed);
    PyErr_Clear();
    return result;
}

/* The class of a module, or null. */
static PyTypeObject *class_of(const char *module_name, const char *class_name)
{
    PyObject *name = PyUnicode_FromString(module_name);
    PyObject *module = name ? PyImport_GetModule(name) : NULL;
    PyObject *class = module ? PyObject_GetAttrString(module, class_name) : NULL;
    if (class && !PyType_Check(class))
        Py_CLEAR(class);
    Py_XDECREF(module);
    Py_XDECREF(name);
    PyErr_Clear();
    return (PyTypeObject *)class;
}

static bool is_finalized_as(PyObject *object, PyTypeObject *class)
{
    return class && Py_TYPE(object)->tp_finalize == class->tp_finalize;
}

static bool is_closed_socket(PyObject *object, PyTypeObject *class)
{
    PyObject *number = PyObject_CallMethod((PyObject *)class, "fileno", "O", object);
    bool result = number && PyLong_Check(number) && PyLong_AsLong(number) == -1;
    Py_XDECREF(number);
    PyErr_Clear();
    return result;
}

/* Files and sockets that were closed have finalisers that do nothing any more. What a class in Python has
 * to say of it is asked but once, by the finaliser. */
static bool is_done(PyObject *object)
{
    PyTypeObject *file = class_of("_io", "_IOBase"), *socket = class_of("_socket", "socket");
    bool result = false;
    if (is_finalized_as(object, file))
        result = PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_IMMUTABLETYPE) && is_closed(object);
    else if (is_finalized_as(object, socket))
        result = is_closed_socket(object, socket);
    Py_XDECREF(socket);
    Py_XDECREF(file);
    return result;
}

static bool is_missed(PyObject *object)
{
    if (PyWeakref_Check(object)) {
        PyObject *callback = ((PyWeakReference *)object)->wr_callback;
        return callback && !only_forgets(callback);
    }
    if (PyGen_CheckExact(object) || PyCoro_CheckExact(object) || PyAsyncGen_CheckExact(object))
        return is_unfinished(object);
    /* The instances of this class are not in the lists. */
    if (PyType_Check(object) && !PyType_IS_GC((PyTypeObject *)object)) {
        PyTypeObject *class = (PyTypeObject *)object;
        return class->tp_finalize || class->tp_del;
    }
    return Py_TYPE(object)->tp_del || (Py_TYPE(object)->tp_finalize && !is_done(object));
}

static bool list_has_missed(PyGC_Head *head)
{
    bool result = false;
    for (PyGC_Head *at = _PyGCHead_NEXT(head); at != head && !result;) {
        /* A property may be Python code, which frees what it likes. */
        PyObject *object = Py_NewRef(_Py_FROM_GC(at));
        result = is_missed(object);
        at = _PyGCHead_NEXT(at);
        Py_DECREF(object);
    }
    return result;
}

static bool has_missed(PyInterpreterState *interp)
{
    /* A collection would move objects from list to list. */
    int enabled = interp->gc.enabled;
    interp->gc.enabled = 0;
    bool result = false;
    for (int i = 0; i < NUM_GENERATIONS && !result; i++)
        result = list_has_missed(&interp->gc.generations[i].head);
    interp->gc.enabled = enabled;
    return result;
}

static bool is_over_for_all(PyInterpreterState *interp)
{
    if (!vt_snapshot_is_untouched(interp) || PyInterpreterState_Next(PyInterpreterState_Head())
        || _PyRuntime.audit_hooks.head || interp->audit_hooks || _PyRuntime.atexit.ncallbacks)
        return false;
    if (!has_missed(interp))
        return true;
    /* Py_FinalizeEx collects garbage, too: an event loop that was closed, say. */
    PyGC_Collect();
    return !has_missed(interp);
}

/* --- the short way --- */

static void wait_for_threads(void)
{
    PyObject *name = PyUnicode_InternFromString("threading");
    PyObject *module = name ? PyImport_GetModule(name) : NULL;
    PyObject *result = module ? PyObject_CallMethod(module, "_shutdown", NULL) : NULL;
    if (!result && PyErr_Occurred())
        PyErr_FormatUnraisable("Exception ignored on threading shutdown");
    Py_XDECREF(result);
    Py_XDECREF(module);
    Py_XDECREF(name);
}

static int flush(PyObject *stream)
{
    if (!stream || stream == Py_None || is_closed(stream))
        return 0;
    PyObject *result = PyObject_CallMethod(stream, "flush", NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static int flush_streams(void)
{
    int status = flush(PySys_GetObject("stdout"));
    if (status < 0)
        PyErr_FormatUnraisable("Exception ignored on flushing sys.stdout");
    if (flush(PySys_GetObject("stderr")) < 0)
        status = -1;
    PyErr_Clear();
    /* The program may have put others in the place of those that it was given. */
    PyObject *const *given = vt_snapshot_streams();
    for (; *given; given++)
        if (flush(*given) < 0)
            PyErr_Clear();
    return status;
}

int __wrap_Py_FinalizeEx(void)
{
    PyThreadState *tstate = _PyThreadState_GET();
    if (!_PyRuntime.initialized || !tstate)
        return __real_Py_FinalizeEx();
    /* As Py_FinalizeEx begins, which will find it done. */
    tstate->interp->finalizing = 1;
    wait_for_threads();
    _Py_FinishPendingCalls(tstate);
    _PyAtExit_Call(tstate->interp);
    if (is_over_for_all(tstate->interp))
        return flush_streams();
    vt_snapshot_let_go(tstate->interp);
    return __real_Py_FinalizeEx();
}

/* CPython's ends in Py_FinalizeEx by another name. */
_Noreturn void __wrap_Py_Exit(int status)
{
    PyThreadState *tstate = _PyThreadState_GET();
    if (tstate && _PyThreadState_IsRunningMain(tstate))
        _PyInterpreterState_SetNotRunningMain(tstate->interp);
    exit(__wrap_Py_FinalizeEx() < 0 ? 120 : status);
}
