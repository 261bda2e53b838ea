/* Sockets of the family AF_UNIX: pairs. They have no names in the file system. */
#include "ring.h"
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <wasi/api.h>

#define CAPACITY ((size_t)262144)
/* POLLOUT waits for so much room, so that a writer is not woken for every byte. */
#define LOW_WATER (CAPACITY / 4)

struct end {
    struct vt_socket socket;
    struct end *peer; /* null: closed, or never connected */
    struct vt_ring inbox;
    bool connected; /* it had a peer */
    bool shut_read, shut_write;
    int error; /* SO_ERROR */
};

/* A datagram stands in the ring behind its length. */
typedef uint32_t length_type;

static bool is_stream(const struct end *end) { return end->socket.kind == SOCK_STREAM; }

static bool at_end(const struct end *end)
{
    return end->shut_read || (end->connected && (!end->peer || end->peer->shut_write));
}

/* The peer may have room again. */
static void told_room(struct end *end, size_t room_before)
{
    if (end->peer && room_before < LOW_WATER && vt_ring_room(&end->inbox) >= LOW_WATER)
        vt_file_changed(&end->peer->socket.base, POLLOUT | POLLWRNORM);
}

static void copy_out(const struct end *end, struct vt_io *io, size_t skip, size_t size)
{
    for (struct iovec part; size > 0 && vt_io_next(io, &part);) {
        size_t step = part.iov_len < size ? part.iov_len : size;
        vt_ring_peek(&end->inbox, skip, part.iov_base, step);
        io->done += step;
        skip += step;
        size -= step;
    }
}

static int take_stream(struct end *end, struct vt_io *io)
{
    size_t wanted = vt_io_size(io) - io->done;
    size_t size = wanted < end->inbox.length ? wanted : end->inbox.length;
    copy_out(end, io, 0, size);
    if (!(io->flags & MSG_PEEK))
        vt_ring_drop(&end->inbox, size);
    return 0;
}

static int take_datagram(struct end *end, struct vt_io *io)
{
    length_type length;
    vt_ring_peek(&end->inbox, 0, &length, sizeof length);
    size_t wanted = vt_io_size(io);
    io->truncated = wanted < length;
    io->whole = length;
    copy_out(end, io, sizeof length, io->truncated ? wanted : length);
    if (!(io->flags & MSG_PEEK))
        vt_ring_drop(&end->inbox, sizeof length + length);
    return 0;
}

static int end_read(struct vt_file *file, struct vt_io *io)
{
    struct end *end = (struct end *)file;
    io->name_size = 0;
    if (io->flags & MSG_OOB)
        return EOPNOTSUPP;
    if (end->inbox.length > 0) {
        size_t room = vt_ring_room(&end->inbox);
        int error = is_stream(end) ? take_stream(end, io) : take_datagram(end, io);
        told_room(end, room);
        return error;
    }
    if (end->error) {
        int error = end->error;
        end->error = 0;
        return error;
    }
    if (!end->connected && is_stream(end))
        return EINVAL;
    return at_end(end) ? 0 : EAGAIN;
}

static int put_stream(struct vt_ring *inbox, struct vt_io *io)
{
    size_t room = vt_ring_room(inbox);
    if (room == 0 && io->done < vt_io_size(io))
        return EAGAIN;
    for (struct iovec part; room > 0 && vt_io_next(io, &part);) {
        size_t size = part.iov_len < room ? part.iov_len : room;
        if (!vt_ring_put(inbox, part.iov_base, size))
            return ENOBUFS;
        io->done += size;
        room -= size;
    }
    return 0;
}

static int put_datagram(struct vt_ring *inbox, struct vt_io *io)
{
    size_t size = vt_io_size(io);
    length_type length = (length_type)size;
    if (size > CAPACITY - sizeof length)
        return EMSGSIZE;
    if (vt_ring_room(inbox) < size + sizeof length)
        return EAGAIN;
    if (!vt_ring_put(inbox, &length, sizeof length))
        return ENOBUFS;
    for (struct iovec part; vt_io_next(io, &part); io->done += part.iov_len)
        if (!vt_ring_put(inbox, part.iov_base, part.iov_len))
            abort(); /* half a datagram; and there is no memory for anything else */
    return 0;
}

static int end_write(struct vt_file *file, struct vt_io *io)
{
    struct end *end = (struct end *)file;
    if (io->flags & MSG_OOB)
        return EOPNOTSUPP;
    if (end->shut_write)
        return EPIPE;
    if (!end->connected)
        return ENOTCONN;
    if (io->name_size > 0)
        return is_stream(end) ? EISCONN : EOPNOTSUPP;
    if (!end->peer || end->peer->shut_read)
        return is_stream(end) ? EPIPE : ECONNREFUSED;
    struct vt_ring *inbox = &end->peer->inbox;
    int error = is_stream(end) ? put_stream(inbox, io) : put_datagram(inbox, io);
    if (error == 0)
        vt_file_changed(&end->peer->socket.base, POLLIN | POLLRDNORM);
    return error;
}

static short end_ready(struct vt_file *file)
{
    const struct end *end = (struct end *)file;
    bool gone = end->connected && !end->peer;
    short ready = 0;
    if (end->inbox.length > 0 || at_end(end) || end->error)
        ready |= POLLIN | POLLRDNORM;
    if (at_end(end))
        ready |= POLLRDHUP;
    if (gone || end->shut_write || (end->peer && vt_ring_room(&end->peer->inbox) >= LOW_WATER))
        ready |= POLLOUT | POLLWRNORM;
    if (!end->connected || (at_end(end) && (gone || end->shut_write)))
        ready |= POLLHUP;
    if (end->error)
        ready |= POLLERR;
    return ready;
}

static int end_available(struct vt_file *file, int *count)
{
    const struct end *end = (struct end *)file;
    length_type length = (length_type)end->inbox.length;
    if (!is_stream(end) && length > 0)
        vt_ring_peek(&end->inbox, 0, &length, sizeof length);
    *count = (int)length;
    return 0;
}

static void end_release(struct vt_file *file)
{
    struct end *end = (struct end *)file;
    if (end->peer) {
        end->peer->peer = NULL;
        if (end->inbox.length > 0)
            end->peer->error = ECONNRESET; /* what it sent was never read */
        vt_file_changed(&end->peer->socket.base, POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    }
    free(end->inbox.bytes);
    free(end);
}

/* --- as a socket --- */

static int end_shutdown(struct vt_socket *socket, int how)
{
    struct end *end = (struct end *)socket;
    if (!end->connected)
        return ENOTCONN;
    end->shut_read |= how != SHUT_WR;
    end->shut_write |= how != SHUT_RD;
    short changed = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
    vt_file_changed(&socket->base, changed);
    if (end->peer)
        vt_file_changed(&end->peer->socket.base, changed);
    return 0;
}

static int end_name(struct vt_socket *socket, bool peer, struct sockaddr_storage *name, socklen_t *size)
{
    if (peer && !((struct end *)socket)->peer)
        return ENOTCONN;
    name->ss_family = AF_UNIX; /* and no path: unnamed */
    *size = sizeof name->ss_family;
    return 0;
}

static int end_get_option(struct vt_socket *socket, int level, int name, int64_t *value)
{
    struct end *end = (struct end *)socket;
    if (level != SOL_SOCKET)
        return ENOPROTOOPT;
    switch (name) {
    case SO_ERROR:
        *value = end->error;
        end->error = 0;
        return 0;
    case SO_SNDBUF:
    case SO_RCVBUF:
        *value = CAPACITY;
        return 0;
    case SO_REUSEADDR:
    case SO_KEEPALIVE:
    case SO_BROADCAST:
    case SO_ACCEPTCONN:
        *value = 0;
        return 0;
    default:
        return ENOPROTOOPT;
    }
}

/* Accepted, and without effect: there is one buffer size, and no network. */
static int end_set_option(struct vt_socket *socket, int level, int name, int64_t value)
{
    (void)value;
    int64_t now;
    return end_get_option(socket, level, name == SO_ERROR ? -1 : name, &now);
}

static const struct vt_socket_type pair_socket = {
    .shutdown = end_shutdown,
    .name = end_name,
    .get_option = end_get_option,
    .set_option = end_set_option,
};

#define END_TYPE(sort)                        \
    {                                         \
        .filetype = sort,                     \
        .mode = S_IFSOCK | S_IRWXU,           \
        .read = end_read,                     \
        .write = end_write,                   \
        .ready = end_ready,                   \
        .available = end_available,           \
        .release = end_release,               \
        .socket = &pair_socket,               \
    }
static const struct vt_file_type stream_end = END_TYPE(__WASI_FILETYPE_SOCKET_STREAM);
static const struct vt_file_type datagram_end = END_TYPE(__WASI_FILETYPE_SOCKET_DGRAM);

int vt_unix_create(int kind, struct vt_socket **out)
{
    if (kind != SOCK_STREAM && kind != SOCK_DGRAM && kind != SOCK_SEQPACKET)
        return EPROTONOSUPPORT;
    struct end *end = calloc(1, sizeof *end);
    if (!end)
        return ENOMEM;
    end->socket.base.type = kind == SOCK_STREAM ? &stream_end : &datagram_end;
    end->socket.base.flags = O_RDWR;
    end->socket.family = AF_UNIX;
    end->socket.kind = kind;
    end->inbox.limit = CAPACITY;
    *out = &end->socket;
    return 0;
}

int vt_pair_create(int kind, struct vt_socket **one, struct vt_socket **other)
{
    int error = vt_unix_create(kind, one);
    if (error)
        return error;
    error = vt_unix_create(kind, other);
    if (error) {
        end_release(&(*one)->base);
        return error;
    }
    struct end *first = (struct end *)*one, *second = (struct end *)*other;
    first->peer = second;
    second->peer = first;
    first->connected = second->connected = true;
    return 0;
}
