/* The standard streams. WASI's own calls on them would stop every fiber of the instance; these stop
 * the calling one. A descriptor of the three that the program closes is WASI's again. */
#include "vt.h"
#include "wasi.h"

#include <stdlib.h>

#define STDIO(name) __attribute__((import_module("vtwasm:host/stdio@0.1.0"), import_name(name)))

/* result<u32, errno> and result<list<u8>, errno>, as the canonical ABI returns them. */
struct write_result {
    uint8_t is_error;
    union {
        uint32_t written;
        uint16_t error;
    };
};
struct read_result {
    uint8_t is_error;
    union {
        struct {
            uint8_t *bytes;
            uint32_t length;
        };
        uint16_t error;
    };
};

STDIO("read") void stdio_read(uint32_t length, struct read_result *result);
STDIO("write") void stdio_write(uint32_t fd, const uint8_t *bytes, uint32_t length,
                                struct write_result *result);
STDIO("subscribe") uint32_t stdio_subscribe(uint32_t fd, uint32_t interest);
STDIO("is-terminal") uint32_t stdio_is_terminal(uint32_t fd);

VT_WASI(fd_read)(int32_t fd, int32_t iovs, int32_t count, int32_t result);
VT_WASI(fd_write)(int32_t fd, int32_t iovs, int32_t count, int32_t result);
VT_WASI(fd_close)(int32_t fd);
VT_WASI(fd_renumber)(int32_t from, int32_t to);
VT_WASI(fd_fdstat_get)(int32_t fd, int32_t result);
VT_WASI(fd_fdstat_set_flags)(int32_t fd, int32_t flags);
VT_WASI(fd_seek)(int32_t fd, int64_t offset, int32_t whence, int32_t result);
VT_WASI(fd_tell)(int32_t fd, int32_t result);

#define STREAMS 3

static struct {
    bool closed;
    uint16_t flags; /* __WASI_FDFLAGS_NONBLOCK is the one that matters here */
} streams[STREAMS];

int vt_stream_of(int32_t fd)
{
    return fd >= 0 && fd < STREAMS && !streams[fd].closed ? fd : -1;
}

int vt_stream_is_ready(int stream, int write)
{
    if ((stream == 0) == (write != 0))
        return 0; /* as the wrong end of a pipe */
    return stdio_subscribe((uint32_t)stream, write ? VT_WRITE : VT_READ) != 0;
}

/* After EAGAIN: 0 when it is worth another try. */
static int wait_for_stream(int stream, int write)
{
    if (streams[stream].flags & __WASI_FDFLAGS_NONBLOCK)
        return __WASI_ERRNO_AGAIN;
    if (vt_stream_is_ready(stream, write))
        return 0;
    if (vt_park(VT_IO, (uint32_t)stream, VT_FOREVER) != VT_INTERRUPTED)
        return 0;
    vt_interrupt();
    return __WASI_ERRNO_INTR;
}

/* --- the list that stdio.read returns --- */

/* Where cabi_realloc (memory.c) puts it: straight into the reader's buffer. */
struct vt_landing {
    void *bytes;
    size_t size;
} vt_landing;

static int read_once(uint8_t *bytes, size_t size, size_t *got)
{
    struct read_result result;
    vt_landing = (struct vt_landing){bytes, size};
    stdio_read((uint32_t)size, &result);
    vt_landing = (struct vt_landing){NULL, 0};
    if (result.is_error)
        return result.error;
    *got = result.length;
    return 0;
}

/* As readv on a pipe: as much as is there, at least one byte unless it is the end. One buffer is
 * enough of an answer; CPython's build has no readv. */
VT_INSTEAD_OF_WASI(fd_read)(int32_t fd, int32_t iovs, int32_t count, int32_t result)
{
    int stream = vt_stream_of(fd);
    if (stream < 0)
        return wasi_fd_read(fd, iovs, count, result);
    if (stream != 0)
        return __WASI_ERRNO_BADF;
    const __wasi_iovec_t *iov = (const __wasi_iovec_t *)iovs;
    const __wasi_iovec_t *end = iov + count;
    size_t *got = (size_t *)result;
    *got = 0;
    while (iov < end && iov->buf_len == 0)
        iov++;
    if (iov == end)
        return 0;
    for (;;) {
        int error = read_once(iov->buf, iov->buf_len, got);
        if (error != __WASI_ERRNO_AGAIN)
            return error;
        error = wait_for_stream(stream, false);
        if (error)
            return error;
    }
}

/* As write on a pipe: on a blocking descriptor, everything or an error. */
static int write_all(int stream, const uint8_t *bytes, size_t size, size_t *written)
{
    while (size > 0) {
        struct write_result result;
        stdio_write((uint32_t)stream, bytes, (uint32_t)size, &result);
        if (!result.is_error) {
            bytes += result.written;
            size -= result.written;
            *written += result.written;
            continue;
        }
        int error = result.error;
        if (error == __WASI_ERRNO_AGAIN)
            error = wait_for_stream(stream, true);
        if (error)
            return error;
    }
    return 0;
}

VT_INSTEAD_OF_WASI(fd_write)(int32_t fd, int32_t iovs, int32_t count, int32_t result)
{
    int stream = vt_stream_of(fd);
    if (stream < 0)
        return wasi_fd_write(fd, iovs, count, result);
    if (stream == 0)
        return __WASI_ERRNO_BADF;
    const __wasi_ciovec_t *iov = (const __wasi_ciovec_t *)iovs;
    size_t written = 0;
    int error = 0;
    for (int32_t i = 0; i < count && error == 0; i++)
        error = write_all(stream, iov[i].buf, iov[i].buf_len, &written);
    *(size_t *)result = written;
    return written > 0 ? 0 : error; /* POSIX: what was written counts, the error comes next time */
}

/* --- what else can be done to a descriptor --- */

VT_INSTEAD_OF_WASI(fd_close)(int32_t fd)
{
    int stream = vt_stream_of(fd);
    if (stream >= 0)
        streams[stream].closed = true;
    return wasi_fd_close(fd);
}

/* dup2: whatever `to` was, it is a copy of `from` now. A standard stream has no copies. */
VT_INSTEAD_OF_WASI(fd_renumber)(int32_t from, int32_t to)
{
    if (from == to)
        return 0;
    if (vt_stream_of(from) >= 0)
        return __WASI_ERRNO_NOTSUP;
    int error = wasi_fd_renumber(from, to);
    int stream = vt_stream_of(to);
    if (error == 0 && stream >= 0)
        streams[stream].closed = true;
    return error;
}

/* isatty() is true for a character device that cannot seek. */
VT_INSTEAD_OF_WASI(fd_fdstat_get)(int32_t fd, int32_t result)
{
    int stream = vt_stream_of(fd);
    if (stream < 0)
        return wasi_fd_fdstat_get(fd, result);
    *(__wasi_fdstat_t *)result = (__wasi_fdstat_t){
        .fs_filetype = stdio_is_terminal((uint32_t)stream) ? __WASI_FILETYPE_CHARACTER_DEVICE
                                                           : __WASI_FILETYPE_UNKNOWN,
        .fs_flags = streams[stream].flags,
        .fs_rights_base = __WASI_RIGHTS_FD_FILESTAT_GET | __WASI_RIGHTS_POLL_FD_READWRITE
                          | (stream == 0 ? __WASI_RIGHTS_FD_READ : __WASI_RIGHTS_FD_WRITE),
    };
    return 0;
}

VT_INSTEAD_OF_WASI(fd_fdstat_set_flags)(int32_t fd, int32_t flags)
{
    int stream = vt_stream_of(fd);
    if (stream < 0)
        return wasi_fd_fdstat_set_flags(fd, flags);
    streams[stream].flags = (uint16_t)flags;
    return 0;
}

VT_INSTEAD_OF_WASI(fd_seek)(int32_t fd, int64_t offset, int32_t whence, int32_t result)
{
    return vt_stream_of(fd) >= 0 ? __WASI_ERRNO_SPIPE : wasi_fd_seek(fd, offset, whence, result);
}

VT_INSTEAD_OF_WASI(fd_tell)(int32_t fd, int32_t result)
{
    return vt_stream_of(fd) >= 0 ? __WASI_ERRNO_SPIPE : wasi_fd_tell(fd, result);
}

/* --- not streams, but of the process --- */

/* WASI's would tell the host no more than whether the code is 0. */
void __imported_wasi_snapshot_preview1_proc_exit(int32_t code) { vt_exit_process(code); }

VT_INSTEAD_OF_WASI(sched_yield)(void)
{
    extern int sched_yield(void);
    return sched_yield();
}
