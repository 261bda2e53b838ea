/* SQLite recurses over expressions, sub-selects and JSON within limits of its own, and calls back
 * into Python: each way in gets enough of both stacks for the deepest statement, or fails as if
 * there were no memory, which Python sees as MemoryError. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "vtwasm_force.h"

#include "Python.h"

#include "pycore_pystate.h"

/* Shadow stack, and units of c_recursion_remaining, that one statement may take. */
#define STACK ((size_t)512 << 10)
#define UNITS 700
/* Units that a function called from SQL finds gone. */
#define CALLBACK_UNITS 4

#define SQLITE_NOMEM 7

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
typedef struct sqlite3_blob sqlite3_blob;
typedef struct sqlite3_backup sqlite3_backup;

/* sqlite3_step and others run without the GIL, so without a current thread state. */
static PyThreadState *thread_state(void)
{
    PyThreadState *current = _PyThreadState_GET();
    return current ? current : PyGILState_GetThisThreadState();
}

#define ENTRY(name, parameters, arguments)                                 \
    int __real_##name parameters;                                          \
    int __wrap_##name parameters                                           \
    {                                                                      \
        PyThreadState *tstate = thread_state();                            \
        if (tstate->c_recursion_remaining < UNITS)                         \
            return SQLITE_NOMEM;                                           \
        tstate->c_recursion_remaining -= CALLBACK_UNITS;                   \
        int result = VTWASM_WITH_STACK(STACK, __real_##name arguments);    \
        tstate->c_recursion_remaining += CALLBACK_UNITS;                   \
        return result;                                                     \
    }

ENTRY(sqlite3_open_v2, (const char *name, sqlite3 **out, int flags, const char *vfs),
      (name, out, flags, vfs))
ENTRY(sqlite3_prepare_v2,
      (sqlite3 * db, const char *sql, int length, sqlite3_stmt **out, const char **tail),
      (db, sql, length, out, tail))
ENTRY(sqlite3_step, (sqlite3_stmt * statement), (statement))
ENTRY(sqlite3_exec,
      (sqlite3 * db, const char *sql, int (*callback)(void *, int, char **, char **),
       void *argument, char **error),
      (db, sql, callback, argument, error))
ENTRY(sqlite3_blob_open,
      (sqlite3 * db, const char *schema, const char *table, const char *column, int64_t row,
       int flags, sqlite3_blob **out),
      (db, schema, table, column, row, flags, out))
ENTRY(sqlite3_backup_step, (sqlite3_backup * backup, int pages), (backup, pages))
ENTRY(sqlite3_deserialize,
      (sqlite3 * db, const char *schema, unsigned char *data, int64_t size, int64_t space,
       unsigned flags),
      (db, schema, data, size, space, flags))
