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
        return strcmp(((PyCFunctionObject *)callback)->m_ml->ml_name, "_localdummy_destroyed") == 0;
    PyObject *name = PyObject_GetAttrString(callback, "__module__");
    bool result = name && PyUnicode_Check(name)
                  && (PyUnicode_EqualToUTF8(name, "weakref")
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
    return Py_TYPE(object)->tp_finalize || Py_TYPE(object)->tp_del;
}

static bool list_has_missed(PyGC_Head *head)
{
    for (PyGC_Head *at = _PyGCHead_NEXT(head); at != head; at = _PyGCHead_NEXT(at))
        if (is_missed(_Py_FROM_GC(at)))
            return true;
    return false;
}

static bool is_over_for_all(PyInterpreterState *interp)
{
    if (!vt_snapshot_is_untouched(interp) || PyInterpreterState_Next(PyInterpreterState_Head())
        || _PyRuntime.audit_hooks.head || interp->audit_hooks || _PyRuntime.atexit.ncallbacks)
        return false;
    for (int i = 0; i < NUM_GENERATIONS; i++)
        if (list_has_missed(&interp->gc.generations[i].head))
            return false;
    return true;
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

static bool is_closed(PyObject *stream)
{
    PyObject *closed = PyObject_GetAttrString(stream, "closed");
    bool result = closed && PyObject_IsTrue(closed) > 0;
    Py_XDECREF(closed);
    PyErr_Clear();
    return result;
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
