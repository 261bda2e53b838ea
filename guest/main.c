/* python3's main. Where things are is said here and not searched for. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "vtwasm_force.h"

#include "Python.h"

#include "pycore_fileutils.h"
#include "pycore_runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <wchar.h>

#include "snapshot.h"
#include "vt.h"

/* A folder of its own, so that the host's /usr/lib may be mounted as well. */
#define LIBRARY L"/usr/lib/vtwasm/python313.zip"
#define SITE_PACKAGES L"/usr/lib/python3.13/site-packages"

void vt_python_start(void);
int vt_calls_install(void);

static PyStatus set_paths(PyConfig *config)
{
    const struct {
        wchar_t **field;
        const wchar_t *value;
    } paths[] = {
        {&config->program_name, L"python3"},
        /* As CPython documents it where there is no program that one could start. */
        {&config->executable, L""},
        {&config->base_executable, L""},
        {&config->prefix, L"/usr"},
        {&config->base_prefix, L"/usr"},
        {&config->exec_prefix, L"/usr"},
        {&config->base_exec_prefix, L"/usr"},
        {&config->platlibdir, L"lib"},
        {&config->stdlib_dir, LIBRARY},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        PyStatus status = PyConfig_SetString(config, paths[i].field, paths[i].value);
        if (PyStatus_Exception(status))
            return status;
    }
    config->module_search_paths_set = 1;
    PyStatus status = PyWideStringList_Append(&config->module_search_paths, LIBRARY);
    struct stat found;
    if (!PyStatus_Exception(status) && _Py_wstat(SITE_PACKAGES, &found) == 0)
        status = PyWideStringList_Append(&config->module_search_paths, SITE_PACKAGES);
    return status;
}

/* CPython does this where it searches for its paths itself. */
static PyStatus prepend_pythonpath(PyConfig *config)
{
    const char *value = _PyRuntime.preconfig.use_environment ? getenv("PYTHONPATH") : NULL;
    wchar_t *folders = value ? Py_DecodeLocale(value, NULL) : NULL;
    PyStatus status = PyStatus_Ok();
    wchar_t *rest = NULL;
    wchar_t *folder = folders ? wcstok(folders, L":", &rest) : NULL;
    for (Py_ssize_t i = 0; folder && !PyStatus_Exception(status); i++) {
        status = PyWideStringList_Insert(&config->module_search_paths, i, folder);
        folder = wcstok(NULL, L":", &rest);
    }
    PyMem_RawFree(folders);
    return status;
}

static PyStatus configure(PyConfig *config, int argc, char **argv)
{
    config->pathconfig_warnings = 0;
    PyStatus status = set_paths(config);
    if (!PyStatus_Exception(status))
        status = prepend_pythonpath(config);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesArgv(config, argc, argv);
    return status;
}

static PyStatus initialise(PyConfig *config)
{
    return vt_snapshot_is_there() ? vt_snapshot_resume(config) : Py_InitializeFromConfig(config);
}

static PyStatus start(int argc, char **argv)
{
    /* First of all, for -X dev and -X utf8 decide how the rest is read. */
    PyPreConfig preconfig;
    PyPreConfig_InitPythonConfig(&preconfig);
    PyStatus status = Py_PreInitializeFromBytesArgs(&preconfig, argc, argv);
    if (PyStatus_Exception(status))
        return status;
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    status = configure(&config, argc, argv);
    if (!PyStatus_Exception(status))
        status = initialise(&config);
    PyConfig_Clear(&config);
    return status;
}

/* WASI has no working folder; libc keeps one by name. It need not be readable: a relative path may
 * lead from it to a folder that is. */
static void set_working_folder(void)
{
    extern char *__wasilibc_cwd;
    const char *folder = getenv("PWD");
    if (folder && folder[0] == '/')
        __wasilibc_cwd = strdup(folder);
    else if (vt_is_resumed)
        __wasilibc_cwd = strdup("/"); /* the code of a snapshot may have left another */
}

int main(int argc, char **argv)
{
    if (vt_snapshot_is_there())
        vt_snapshot_enter();
    set_working_folder();
    vt_python_start();
    PyStatus status = start(argc, argv);
    if (PyStatus_IsExit(status))
        return status.exitcode; /* --version, --help */
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    if (vt_snapshot_is_wanted())
        vt_snapshot_make();
    if (vt_calls_install() < 0)
        PyErr_Print();
    return Py_RunMain();
}
