/* Functions of the host's embedder as functions of Python: a call parks its thread until the host has
 * the answer. */
#include "vtwasm_force.h"

#include "Python.h"
#include "marshal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "vt.h"
#include "wasi.h"

#define VT_CALLS(name) __attribute__((import_module("vtwasm:host/calls@0.1.0"), import_name(name)))
VT_CALLS("functions") void calls_functions(struct vt_list *);
VT_CALLS("start") void calls_start(uint32_t function, const void *arguments, uint32_t size,
                                   struct vt_number *);
VT_CALLS("answered") void calls_answered(uint32_t call, struct vt_number *);
VT_CALLS("take") void calls_take(uint32_t call, struct vt_list_result *);
VT_CALLS("cancel") void calls_cancel(uint32_t call);

/* Neither references nor code. */
#define MARSHAL_VERSION 2

static PyObject *raise_errno(int error)
{
    if (error == ENOMEM)
        return PyErr_NoMemory();
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *marshalled(PyObject *args, PyObject *kwargs)
{
    PyObject *named = kwargs ? Py_NewRef(kwargs) : PyDict_New();
    PyObject *both = named ? PyTuple_Pack(2, args, named) : NULL;
    Py_XDECREF(named);
    PyObject *bytes = both ? PyMarshal_WriteObjectToString(both, MARSHAL_VERSION) : NULL;
    Py_XDECREF(both);
    if (!bytes && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_TypeError, "an argument has no conversion: None, bool, int, float, str, "
                                         "bytes, and tuples, lists and dicts of them have one");
    }
    return bytes;
}

/* The size of the answer, or -1 with an exception. */
static int64_t wait_for(uint32_t call)
{
    struct vt_number answered;
    for (;;) {
        calls_answered(call, &answered);
        if (!answered.is_error)
            return answered.value;
        if (answered.error != EAGAIN) {
            raise_errno(answered.error);
            return -1;
        }
        enum vt_wake wake;
        Py_BEGIN_ALLOW_THREADS
        wake = vt_park(VT_IO, call, VT_FOREVER);
        Py_END_ALLOW_THREADS
        if (wake == VT_INTERRUPTED)
            vt_interrupt();
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
}

static PyObject *take(uint32_t call, int64_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes)
        return NULL;
    char *landing = PyBytes_AS_STRING(bytes);
    struct vt_list_result taken;
    vt_landing = (struct vt_landing){landing, (size_t)size};
    calls_take(call, &taken);
    vt_landing = (struct vt_landing){NULL, 0};
    PyObject *answer =
        taken.is_error ? raise_errno(taken.error) : PyMarshal_ReadObjectFromString(landing, (Py_ssize_t)size);
    if (!taken.is_error)
        vt_list_free(&taken.list, landing);
    Py_DECREF(bytes);
    return answer;
}

/* The built-in exception of that name, or RuntimeError. Borrowed. */
static PyObject *exception_named(PyObject *name)
{
    PyObject *found = PyDict_GetItemWithError(PyEval_GetBuiltins(), name);
    return found && PyExceptionClass_Check(found) ? found : PyExc_RuntimeError;
}

/* Of (None, value) the value, else the exception is raised. */
static PyObject *opened(PyObject *answer)
{
    PyObject *exception, *value;
    if (!PyArg_ParseTuple(answer, "OO;an answer of the host", &exception, &value))
        return NULL;
    if (exception == Py_None)
        return Py_NewRef(value);
    PyErr_SetObject(exception_named(exception), value);
    return NULL;
}

/* What a function is bound to: a module, so that it is printed as a function. */
static PyModuleDef owner = {PyModuleDef_HEAD_INIT, .m_name = "host", .m_size = sizeof(uint32_t)};

static uint32_t *number_of(PyObject *self) { return PyModule_GetState(self); }

static PyObject *call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *bytes = marshalled(args, kwargs);
    if (!bytes)
        return NULL;
    struct vt_number started;
    calls_start(*number_of(self), PyBytes_AS_STRING(bytes),
                (uint32_t)PyBytes_GET_SIZE(bytes), &started);
    Py_DECREF(bytes);
    if (started.is_error)
        return raise_errno(started.error);
    int64_t size = wait_for(started.value);
    PyObject *answer = size < 0 ? NULL : take(started.value, size);
    if (!answer) {
        calls_cancel(started.value);
        return NULL;
    }
    PyObject *value = opened(answer);
    Py_DECREF(answer);
    return value;
}

/* The definition lives as long as its function: for ever. */
static PyObject *function(const char *name, PyObject *module_name, uint32_t number)
{
    PyMethodDef *definition = calloc(1, sizeof *definition);
    PyObject *self = PyModule_Create(&owner);
    if (!definition || !self)
        return NULL;
    *number_of(self) = number;
    *definition = (PyMethodDef){strdup(name), (PyCFunction)(void (*)(void))call,
                                METH_VARARGS | METH_KEYWORDS, "A function of the host."};
    PyObject *function = PyCFunction_NewEx(definition, self, module_name);
    Py_DECREF(self);
    return function;
}

static int add(const char *module_name, const char *name, uint32_t number)
{
    PyObject *module = PyImport_AddModuleRef(module_name);
    if (!module)
        return -1;
    PyObject *owner_name = PyModule_GetNameObject(module);
    int error = PyModule_Add(module, name, owner_name ? function(name, owner_name, number) : NULL);
    Py_XDECREF(owner_name);
    Py_DECREF(module);
    return error;
}

/* Puts the modules in sys.modules, where `import` finds them. -1 with an exception. */
int vt_calls_install(void)
{
    struct vt_list names;
    calls_functions(&names);
    char *text = strndup(names.items, names.count);
    vt_list_free(&names, NULL);
    if (!text) {
        PyErr_NoMemory();
        return -1;
    }
    char *rest = NULL;
    int error = 0;
    uint32_t number = 0;
    for (char *line = strtok_r(text, "\n", &rest); line && !error; line = strtok_r(NULL, "\n", &rest)) {
        char *name = strchr(line, '.');
        *name++ = '\0';
        error = add(line, name, number++);
    }
    free(text);
    return error;
}
