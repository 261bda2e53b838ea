/* WASI's files under descriptors of ours, and what libc asks of descriptors that are none. */
#include "fd.h"
#include "wasi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

VT_WASI(fd_close)(int32_t fd);

struct wasi_file {
    struct vt_file base;
    int32_t wasi;
};

/* WASI has no way to wait for a file, and none is needed. */
static short always_ready(struct vt_file *file)
{
    (void)file;
    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

static void release(struct vt_file *file)
{
    wasi_fd_close(((struct wasi_file *)file)->wasi);
    free(file);
}

static const struct vt_file_type wasi_type = {.ready = always_ready, .release = release};

struct vt_file *vt_wasi_file(int32_t wasi)
{
    struct wasi_file *file = calloc(1, sizeof *file);
    if (!file)
        return NULL;
    file->base.type = &wasi_type;
    file->wasi = wasi;
    return &file->base;
}

int vt_wasi_open(int32_t wasi, int flags, int32_t *fd)
{
    struct vt_file *file = vt_wasi_file(wasi);
    if (!file) {
        wasi_fd_close(wasi);
        return ENOMEM;
    }
    file->flags = flags;
    int number, error = vt_fd_open(file, true, &number);
    *fd = number;
    return error;
}

int vt_wasi_number(int32_t *fd, int otherwise)
{
    struct vt_file *file = vt_file_of(*fd);
    if (!file)
        return EBADF;
    if (file->type != &wasi_type)
        return otherwise;
    *fd = ((struct wasi_file *)file)->wasi;
    return 0;
}

/* Each function of WASI whose first parameter is a descriptor: on a file it is WASI's, on anything
 * else an errno (POSIX's for a pipe), on nothing EBADF. */
#define ON_FILES(name, otherwise, parameters, arguments)     \
    VT_WASI(name) parameters;                                \
    VT_INSTEAD_OF_WASI(name) parameters                      \
    {                                                        \
        int error = vt_wasi_number(&fd, otherwise);          \
        return error ? error : wasi_##name arguments;        \
    }

ON_FILES(fd_advise, ESPIPE, (int32_t fd, int64_t offset, int64_t length, int32_t advice),
         (fd, offset, length, advice))
ON_FILES(fd_allocate, ESPIPE, (int32_t fd, int64_t offset, int64_t length), (fd, offset, length))
ON_FILES(fd_datasync, EINVAL, (int32_t fd), (fd))
ON_FILES(fd_sync, EINVAL, (int32_t fd), (fd))
ON_FILES(fd_fdstat_set_rights, EINVAL, (int32_t fd, int64_t base, int64_t inherited),
         (fd, base, inherited))
ON_FILES(fd_filestat_set_size, EINVAL, (int32_t fd, int64_t size), (fd, size))
ON_FILES(fd_filestat_set_times, EINVAL,
         (int32_t fd, int64_t accessed, int64_t modified, int32_t which), (fd, accessed, modified, which))
ON_FILES(fd_pread, ESPIPE, (int32_t fd, int32_t iovs, int32_t count, int64_t offset, int32_t result),
         (fd, iovs, count, offset, result))
ON_FILES(fd_pwrite, ESPIPE, (int32_t fd, int32_t iovs, int32_t count, int64_t offset, int32_t result),
         (fd, iovs, count, offset, result))
/* libc asks when it first needs a folder, from 3 on until EBADF; any other errno ends the process. */
ON_FILES(fd_prestat_get, EBADF, (int32_t fd, int32_t result), (fd, result))
ON_FILES(fd_prestat_dir_name, ENOTDIR, (int32_t fd, int32_t path, int32_t size), (fd, path, size))
ON_FILES(fd_readdir, ENOTDIR,
         (int32_t fd, int32_t buffer, int32_t size, int64_t cookie, int32_t result),
         (fd, buffer, size, cookie, result))

/* --- what anything can be asked --- */

static bool is_device(int32_t fd)
{
    return vt_file_of(fd)->type->filetype == __WASI_FILETYPE_CHARACTER_DEVICE;
}

VT_WASI(fd_seek)(int32_t fd, int64_t offset, int32_t whence, int32_t result);
VT_INSTEAD_OF_WASI(fd_seek)(int32_t fd, int64_t offset, int32_t whence, int32_t result)
{
    int32_t wasi = fd;
    int error = vt_wasi_number(&wasi, ESPIPE);
    if (error == 0)
        return wasi_fd_seek(wasi, offset, whence, result);
    if (error == EBADF || !is_device(fd))
        return error;
    *(int64_t *)result = 0;
    return 0;
}

VT_WASI(fd_tell)(int32_t fd, int32_t result);
VT_INSTEAD_OF_WASI(fd_tell)(int32_t fd, int32_t result)
{
    int32_t wasi = fd;
    int error = vt_wasi_number(&wasi, ESPIPE);
    if (error == 0)
        return wasi_fd_tell(wasi, result);
    if (error == EBADF || !is_device(fd))
        return error;
    *(uint64_t *)result = 0;
    return 0;
}

/* A stream of bytes: WASI's file, or anything that has one (wait.c). */
#define TRANSFER(name, transfer)                                                              \
    VT_WASI(name)(int32_t fd, int32_t buffers, int32_t count, int32_t result);                \
    VT_INSTEAD_OF_WASI(name)(int32_t fd, int32_t buffers, int32_t count, int32_t result)      \
    {                                                                                         \
        struct vt_file *file = vt_file_of(fd);                                                \
        if (!file)                                                                            \
            return EBADF;                                                                     \
        if (file->type == &wasi_type)                                                         \
            return wasi_##name(((struct wasi_file *)file)->wasi, buffers, count, result);     \
        struct vt_io io = {.buffers = (const struct iovec *)buffers, .count = count};         \
        int error = transfer(file, &io, VT_FOREVER);                                          \
        *(size_t *)result = io.done;                                                          \
        return error;                                                                         \
    }

TRANSFER(fd_read, vt_file_read)
TRANSFER(fd_write, vt_file_write)

VT_INSTEAD_OF_WASI(fd_close)(int32_t fd) { return vt_fd_close(fd); }

/* As dup2, and `from` is closed. */
VT_INSTEAD_OF_WASI(fd_renumber)(int32_t from, int32_t to)
{
    if (from == to)
        return vt_file_of(from) ? 0 : EBADF;
    if (!vt_file_of(to))
        return EBADF;
    int error = vt_fd_replace(from, to, vt_file_of(from) && vt_fd_close_on_exec(from));
    return error ? error : vt_fd_close(from);
}

/* isatty() is true for a character device that cannot seek. */
static uint64_t rights(const struct vt_file *file)
{
    uint64_t rights = __WASI_RIGHTS_FD_FILESTAT_GET | __WASI_RIGHTS_POLL_FD_READWRITE;
    if (file->type->read)
        rights |= __WASI_RIGHTS_FD_READ;
    if (file->type->write)
        rights |= __WASI_RIGHTS_FD_WRITE;
    if (file->type->filetype == __WASI_FILETYPE_CHARACTER_DEVICE)
        rights |= __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL;
    return rights;
}

VT_WASI(fd_fdstat_get)(int32_t fd, int32_t result);
VT_INSTEAD_OF_WASI(fd_fdstat_get)(int32_t fd, int32_t result)
{
    if (fd >= VT_NAMES) { /* libc asks the folder before it opens a file in it */
        *(__wasi_fdstat_t *)result = (__wasi_fdstat_t){
            .fs_filetype = __WASI_FILETYPE_DIRECTORY,
            .fs_rights_base = UINT64_MAX,
            .fs_rights_inheriting = UINT64_MAX,
        };
        return 0;
    }
    struct vt_file *file = vt_file_of(fd);
    int error = vt_wasi_number(&fd, ENOTSUP);
    if (error == 0)
        return wasi_fd_fdstat_get(fd, result);
    if (error == EBADF)
        return error;
    int stream = vt_stream_of(file);
    bool terminal = stream >= 0 && vt_stream_is_terminal(stream);
    *(__wasi_fdstat_t *)result = (__wasi_fdstat_t){
        .fs_filetype = terminal ? __WASI_FILETYPE_CHARACTER_DEVICE : file->type->filetype,
        .fs_flags = (uint16_t)(file->flags & (O_NONBLOCK | O_APPEND)),
        .fs_rights_base = rights(file),
    };
    return 0;
}

/* libc's O_* of a description are WASI's flags. */
VT_WASI(fd_fdstat_set_flags)(int32_t fd, int32_t flags);
VT_INSTEAD_OF_WASI(fd_fdstat_set_flags)(int32_t fd, int32_t flags)
{
    struct vt_file *file = vt_file_of(fd);
    int error = vt_wasi_number(&fd, ENOTSUP);
    if (error == 0)
        error = wasi_fd_fdstat_set_flags(fd, flags);
    else if (error == ENOTSUP)
        error = 0;
    if (error == 0)
        file->flags = (file->flags & O_ACCMODE) | flags;
    return error;
}

VT_WASI(fd_filestat_get)(int32_t fd, int32_t result);
VT_INSTEAD_OF_WASI(fd_filestat_get)(int32_t fd, int32_t result)
{
    struct vt_file *file = vt_file_of(fd);
    int error = vt_wasi_number(&fd, ENOTSUP);
    if (error == ENOTSUP && vt_stream_of(file) >= 0) {
        error = 0;
        fd = vt_stream_of(file);
    }
    if (error == 0)
        return wasi_fd_filestat_get(fd, result);
    if (error == EBADF)
        return error;
    return vt_status(file, file->type->filetype, (__wasi_filestat_t *)result);
}

/* WASI has no name for a pipe, and libc none for what WASI has no name for. */
int __real_fstat(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status)
{
    if (__real_fstat(fd, status) != 0)
        return -1;
    struct vt_file *file = vt_file_of(fd);
    if (file->type->mode)
        status->st_mode = file->type->mode;
    return 0;
}

/* --- not descriptors, but of the process --- */

/* WASI's would tell the host no more than whether the code is 0. */
void __imported_wasi_snapshot_preview1_proc_exit(int32_t code) { vt_exit_process(code); }

VT_INSTEAD_OF_WASI(sched_yield)(void)
{
    extern int sched_yield(void);
    return sched_yield();
}
