/* Two things that SQLite needs here.
 *
 * Locks. WASI has none, and SQLite's way around that lets one connection at a time into a file. But a
 * sandbox is one process, whose connections SQLite keeps apart by itself: the locks of fcntl tell
 * other processes only. So they are always granted, and SQLite's usual VFS is the default one. The
 * index of a write-ahead log is shared memory, which for one process may be any memory.
 *
 * Stack. SQLite recurses over expressions, sub-selects and JSON within limits of its own, and calls back
 * into Python: each way in gets enough of both stacks for the deepest statement, or fails as if
 * there were no memory, which Python sees as MemoryError. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "vtwasm_force.h"

#include "Python.h"

#include "pycore_pystate.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sqlite3.h"

/* --- locks --- */

/* SQLite's own numbers, for want of WASI's. */
enum { LOCK_GET = 12, LOCK_SET = 13, NOT_LOCKED = 2 };

/* fcntl(2). */
static int grant_locks(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    int result = 0;
    if (command == LOCK_GET)
        va_arg(arguments, struct flock *)->l_type = NOT_LOCKED;
    else if (command != LOCK_SET)
        result = fcntl(fd, command, va_arg(arguments, int));
    va_end(arguments);
    return result;
}

/* mmap(2) of a file that SQLite has just emptied, for all connections of this process. */
static void *share_memory(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    (void)address, (void)protection, (void)flags, (void)fd, (void)offset;
    void *memory = calloc(1, length);
    return memory ? memory : MAP_FAILED;
}

static int unshare_memory(void *memory, size_t length)
{
    (void)length;
    free(memory);
    return 0;
}

int __real_sqlite3_initialize(void);
/* Called by whoever uses SQLite, and by SQLite itself, even while it is at it. */
int __wrap_sqlite3_initialize(void)
{
    static bool begun;
    if (begun)
        return __real_sqlite3_initialize();
    begun = true;
    int result = __real_sqlite3_initialize();
    if (result != SQLITE_OK) {
        begun = false;
        return result;
    }
    sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
    unix_vfs->xSetSystemCall(unix_vfs, "fcntl", (sqlite3_syscall_ptr)grant_locks);
    unix_vfs->xSetSystemCall(unix_vfs, "mmap", (sqlite3_syscall_ptr)share_memory);
    unix_vfs->xSetSystemCall(unix_vfs, "munmap", (sqlite3_syscall_ptr)unshare_memory);
    return sqlite3_vfs_register(unix_vfs, 1);
}

/* --- stack --- */

/* Shadow stack, and units of c_recursion_remaining, that one statement may take. */
#define STACK ((size_t)512 << 10)
#define UNITS Py_MIN(700, vtwasm_c_recursion_limit / 4)
/* Units that a function called from SQL finds gone. */
#define CALLBACK_UNITS 4

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
      (sqlite3 * db, const char *schema, const char *table, const char *column, sqlite3_int64 row,
       int flags, sqlite3_blob **out),
      (db, schema, table, column, row, flags, out))
ENTRY(sqlite3_backup_step, (sqlite3_backup * backup, int pages), (backup, pages))
ENTRY(sqlite3_deserialize,
      (sqlite3 * db, const char *schema, unsigned char *data, sqlite3_int64 size, sqlite3_int64 space,
       unsigned flags),
      (db, schema, data, size, space, flags))
