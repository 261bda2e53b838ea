/* The standard streams. WASI's own calls on them would stop every fiber of the instance; these stop
 * the calling one. */
#include "fd.h"
#include "wasi.h"

#include <errno.h>
#include <fcntl.h>

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

static struct vt_file streams[];

static uint32_t number_of(const struct vt_file *file) { return (uint32_t)(file - streams); }

static int stream_read(struct vt_file *file, struct vt_io *io)
{
    (void)file;
    struct iovec part;
    if (!vt_io_next(io, &part))
        return 0;
    struct read_result result;
    vt_landing = (struct vt_landing){part.iov_base, part.iov_len};
    stdio_read((uint32_t)part.iov_len, &result);
    vt_landing = (struct vt_landing){NULL, 0};
    if (result.is_error)
        return result.error;
    io->done += result.length;
    return 0;
}

static int stream_write(struct vt_file *file, struct vt_io *io)
{
    struct iovec part;
    if (!vt_io_next(io, &part))
        return 0;
    struct write_result result;
    stdio_write(number_of(file), part.iov_base, (uint32_t)part.iov_len, &result);
    if (result.is_error)
        return result.error;
    io->done += result.written;
    return 0;
}

/* As the ends of a pipe: one way only. */
static short stream_ready(struct vt_file *file)
{
    uint32_t stream = number_of(file);
    if (!stdio_subscribe(stream, stream == 0 ? VT_READ : VT_WRITE))
        return 0;
    return stream == 0 ? POLLIN | POLLRDNORM : POLLOUT | POLLWRNORM;
}

static bool stream_subscribe(struct vt_file *file, short events)
{
    return (stream_ready(file) & events) != 0;
}

static void stream_release(struct vt_file *file) { (void)file; }

static const struct vt_file_type input = {
    .filetype = __WASI_FILETYPE_UNKNOWN,
    .read = stream_read,
    .ready = stream_ready,
    .subscribe = stream_subscribe,
    .release = stream_release,
};
static const struct vt_file_type output = {
    .filetype = __WASI_FILETYPE_UNKNOWN,
    .write = stream_write,
    .ready = stream_ready,
    .subscribe = stream_subscribe,
    .release = stream_release,
};

static struct vt_file streams[3] = {
    {.type = &input, .flags = O_RDONLY},
    {.type = &output, .flags = O_WRONLY},
    {.type = &output, .flags = O_WRONLY},
};

struct vt_file *vt_stream_file(int stream) { return &streams[stream]; }

int vt_stream_of(const struct vt_file *file)
{
    return file >= streams && file < streams + 3 ? (int)number_of(file) : -1;
}

bool vt_stream_is_terminal(int stream) { return stdio_is_terminal((uint32_t)stream); }
