/* fcntl() and ioctl(), as far as Python asks. */
#include "fd.h"
#include "pipe.h"
#include "wasi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>

/* What F_SETFL may change. */
#define SETTABLE (O_APPEND | O_DSYNC | O_NONBLOCK | O_RSYNC | O_SYNC)

static int set_flags(int fd, int flags)
{
    return __wasi_fd_fdstat_set_flags(fd, (__wasi_fdflags_t)(flags & SETTABLE));
}

/* Record locks are between processes, and the sandbox is one: nobody else could hold a lock, so each
 * is granted. They do not reach the host. */
static int lock(int command, struct flock *lock)
{
    if (!lock || (lock->l_type != F_RDLCK && lock->l_type != F_WRLCK && lock->l_type != F_UNLCK))
        return EINVAL;
    if (command == F_GETLK)
        lock->l_type = F_UNLCK;
    return 0;
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long number = va_arg(arguments, long);
    va_end(arguments);
    struct vt_file *file = vt_file_of(fd);
    if (!file)
        return vt_result(EBADF);
    int copy, error;
    size_t size;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        error = vt_fd_duplicate(fd, (int)number, command == F_DUPFD_CLOEXEC, &copy);
        return error ? vt_result(error) : copy;
    case F_GETFD:
        return vt_fd_close_on_exec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
        vt_fd_set_close_on_exec(fd, number & FD_CLOEXEC);
        return 0;
    case F_GETFL:
        return file->flags;
    case F_SETFL:
        return vt_result(set_flags(fd, (int)number));
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
        return vt_result(lock(command, (struct flock *)number));
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        error = vt_pipe_size(file, command == F_SETPIPE_SZ ? number : 0, &size);
        return error ? vt_result(error) : (int)size;
    default:
        return vt_result(EINVAL);
    }
}

int ioctl(int fd, int request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    int *value = va_arg(arguments, int *);
    va_end(arguments);
    struct vt_file *file = vt_file_of(fd);
    if (!file)
        return vt_result(EBADF);
    switch (request) {
    case FIOCLEX:
    case FIONCLEX:
        vt_fd_set_close_on_exec(fd, request == FIOCLEX);
        return 0;
    case FIONBIO:
        return vt_result(
            set_flags(fd, *value ? file->flags | O_NONBLOCK : file->flags & ~O_NONBLOCK));
    case FIONREAD:
        return vt_result(file->type->available ? file->type->available(file, value) : ENOTTY);
    default:
        return vt_result(ENOTTY);
    }
}
