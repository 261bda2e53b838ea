/* python3's main. Where things are is said here and not searched for. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "vtwasm_force.h"

#include "Python.h"

#include "pycore_fileutils.h"

#include <sys/stat.h>

#define LIBRARY L"/usr/lib/python313.zip"
#define SITE_PACKAGES L"/usr/lib/python3.13/site-packages"

void vt_python_start(void);

static PyStatus set_paths(PyConfig *config)
{
    const struct {
        wchar_t **field;
        const wchar_t *value;
    } paths[] = {
        {&config->program_name, L"python3"},
        {&config->executable, L"/usr/bin/python3"},
        {&config->base_executable, L"/usr/bin/python3"},
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

static PyStatus initialise(int argc, char **argv)
{
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.pathconfig_warnings = 0;
    PyStatus status = set_paths(&config);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

int main(int argc, char **argv)
{
    vt_python_start();
    PyStatus status = initialise(argc, argv);
    if (PyStatus_IsExit(status))
        return status.exitcode; /* --version, --help */
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    return Py_RunMain();
}
