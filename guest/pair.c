/* Sockets of the family AF_UNIX: the ends of pairs and connections, and what they send each other. */
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <wasi/api.h>

#define CAPACITY ((size_t)262144)
/* POLLOUT waits for so much room, so that a writer is not woken for every byte. */
#define LOW_WATER (CAPACITY / 4)

/* A datagram stands in the ring behind its length. */
typedef uint32_t length_type;

static bool is_stream(const struct end *end) { return end->socket.kind == SOCK_STREAM; }

static bool at_end(const struct end *end)
{
    return end->shut_read || (end->connected && (!end->peer || end->peer->shut_write));
}

/* --- who waits for it --- */

void vt_end_leave(struct end *end)
{
    struct end *host = end->host, *before = NULL;
    if (!host)
        return;
    for (struct end *each = host->waiting; each != end; each = each->next)
        before = each;
    *(before ? &before->next : &host->waiting) = end->next;
    if (host->last_waiting == end)
        host->last_waiting = before;
    host->waiting_count--;
    end->host = end->next = NULL;
}

void vt_end_wait(struct end *end, struct end *host)
{
    if (end->host == host)
        return;
    vt_end_leave(end);
    *(host->waiting ? &host->last_waiting->next : &host->waiting) = end;
    host->last_waiting = end;
    host->waiting_count++;
    end->host = host;
}

/* Whoever sends to it may have room again. */
static void told_room(struct end *end, size_t room_before)
{
    if (vt_ring_room(&end->inbox) < LOW_WATER)
        return;
    if (end->peer && room_before < LOW_WATER)
        vt_file_changed(&end->peer->socket.base, POLLOUT | POLLWRNORM);
    while (end->waiting) {
        struct end *sender = end->waiting;
        vt_end_leave(sender);
        vt_file_changed(&sender->socket.base, POLLOUT | POLLWRNORM);
    }
}

/* --- what goes with the bytes --- */

static void attach(struct end *end, struct vt_parcel *parcel, uint64_t from)
{
    parcel->from = from;
    parcel->to = end->taken + end->inbox.length;
    *(end->first ? &end->last->next : &end->first) = parcel;
    end->last = parcel;
}

/* Gives the reader what goes with the next byte. */
static void hand_over(struct end *end, struct vt_io *io)
{
    struct vt_parcel *parcel = end->first;
    if (!parcel || parcel->from != end->taken)
        return;
    if (io->name && parcel->sender) {
        memcpy(io->name, &parcel->sender->address, parcel->sender->size);
        io->name_size = parcel->sender->size;
    }
    if (io->flags & MSG_PEEK) {
        if (io->control)
            io->parcel = vt_parcel_copy(parcel);
        return;
    }
    end->first = parcel->next;
    if (io->control && !io->parcel)
        io->parcel = parcel;
    else
        vt_parcel_drop(parcel);
}

static void drop(struct end *end, size_t size)
{
    vt_ring_drop(&end->inbox, size);
    end->taken += size;
}

/* --- reading --- */

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

/* One read does not go from bytes with descriptors on to others, nor the other way. */
static size_t readable(const struct end *end)
{
    const struct vt_parcel *parcel = end->first;
    if (!parcel)
        return end->inbox.length;
    return (size_t)((parcel->from > end->taken ? parcel->from : parcel->to) - end->taken);
}

static int take_stream(struct end *end, struct vt_io *io)
{
    size_t wanted = vt_io_size(io) - io->done, there = readable(end);
    size_t size = wanted < there ? wanted : there;
    if (size == 0)
        return 0;
    copy_out(end, io, 0, size);
    hand_over(end, io);
    if (!(io->flags & MSG_PEEK))
        drop(end, size);
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
    hand_over(end, io);
    if (!(io->flags & MSG_PEEK))
        drop(end, sizeof length + length);
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

/* --- writing --- */

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

/* A datagram's way, if it is named or connected. */
static int receiver_of(const struct end *end, const struct vt_io *io, struct end **out)
{
    *out = end->peer;
    if (io->name_size > 0) {
        int error = vt_unix_find(io->name, io->name_size, out);
        if (error)
            return error;
    } else if (end->to) {
        *out = end->to->end;
    } else if (!end->connected) {
        return ENOTCONN;
    }
    const struct end *other = *out;
    if (!other || other->shut_read)
        return other ? EPIPE : ECONNREFUSED;
    if (other->socket.kind != SOCK_DGRAM)
        return EPROTOTYPE;
    bool elsewhere = other->connected ? other->peer != end : other->to && other->to->end != end;
    return elsewhere ? EPERM : 0;
}

static int peer_of(const struct end *end, const struct vt_io *io, struct end **out)
{
    *out = end->peer;
    if (!end->connected)
        return io->name_size > 0 ? EOPNOTSUPP : ENOTCONN;
    if (io->name_size > 0)
        return EISCONN;
    return !end->peer || end->peer->shut_read ? EPIPE : 0;
}

static int end_write(struct vt_file *file, struct vt_io *io)
{
    struct end *end = (struct end *)file, *other;
    if (io->flags & MSG_OOB)
        return EOPNOTSUPP;
    if (end->shut_write)
        return EPIPE;
    bool datagrams = end->socket.kind == SOCK_DGRAM;
    int error = datagrams ? receiver_of(end, io, &other) : peer_of(end, io, &other);
    if (error)
        return error;
    struct vt_parcel *parcel = io->parcel;
    if (datagrams && end->name && !parcel && !(parcel = vt_parcel_copy(NULL)))
        return ENOBUFS;
    uint64_t from = other->taken + other->inbox.length;
    error = is_stream(end) ? put_stream(&other->inbox, io) : put_datagram(&other->inbox, io);
    if (error == EAGAIN && !is_stream(end))
        vt_end_wait(end, other);
    if (error == 0 && parcel && other->taken + other->inbox.length > from) {
        parcel->sender = datagrams ? vt_name_keep(end->name) : NULL;
        attach(other, parcel, from);
        io->parcel = NULL;
    } else if (parcel != io->parcel) {
        vt_parcel_drop(parcel);
    }
    if (error)
        return error;
    vt_file_changed(&other->socket.base, POLLIN | POLLRDNORM);
    return 0;
}

/* --- readiness --- */

/* A datagram socket without a receiver can always say so. */
static bool is_writable(struct end *end)
{
    struct end *other = end->to ? end->to->end : end->peer;
    if (end->shut_write || !other)
        return end->shut_write || end->connected || end->socket.kind == SOCK_DGRAM;
    if (vt_ring_room(&other->inbox) >= LOW_WATER)
        return true;
    if (end->to)
        vt_end_wait(end, other);
    return false;
}

static short end_ready(struct vt_file *file)
{
    struct end *end = (struct end *)file;
    if (end->backlog > 0)
        return (end->waiting || end->shut_read ? POLLIN | POLLRDNORM : 0)
               | (end->shut_read ? POLLRDHUP : 0)
               | (end->shut_read && end->shut_write ? POLLHUP : 0);
    bool gone = end->connected && !end->peer;
    short ready = 0;
    if (end->inbox.length > 0 || at_end(end) || end->error)
        ready |= POLLIN | POLLRDNORM;
    if (at_end(end))
        ready |= POLLRDHUP;
    if (is_writable(end))
        ready |= POLLOUT | POLLWRNORM;
    if (!end->connected ? end->socket.kind != SOCK_DGRAM : at_end(end) && (gone || end->shut_write))
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
    vt_end_leave(end);
    while (end->waiting) {
        struct end *waiting = end->waiting;
        vt_end_leave(waiting);
        if (end->backlog > 0)
            end_release(&waiting->socket.base); /* nobody will accept it */
        else
            vt_file_changed(&waiting->socket.base, POLLOUT);
    }
    while (end->first) {
        struct vt_parcel *parcel = end->first;
        end->first = parcel->next;
        vt_parcel_drop(parcel);
    }
    vt_unix_unbind(end);
    vt_name_drop(end->to);
    free(end->inbox.bytes);
    free(end);
}

/* --- as a socket --- */

static int end_shutdown(struct vt_socket *socket, int how)
{
    struct end *end = (struct end *)socket;
    end->shut_read |= how != SHUT_WR;
    end->shut_write |= how != SHUT_RD;
    short changed = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
    vt_file_changed(&socket->base, changed);
    if (end->peer)
        vt_file_changed(&end->peer->socket.base, changed);
    return 0;
}

static int end_name(struct vt_socket *socket, bool peer, struct sockaddr_storage *out, socklen_t *size)
{
    const struct end *end = (struct end *)socket;
    const struct vt_name *name = end->name;
    if (peer && !end->peer && !end->to)
        return ENOTCONN;
    if (peer)
        name = end->to ? end->to : end->peer->name;
    out->ss_family = AF_UNIX; /* and no path: unnamed */
    *size = sizeof out->ss_family;
    if (name) {
        memcpy(out, &name->address, name->size);
        *size = name->size;
    }
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
        *value = 0;
        return 0;
    case SO_ACCEPTCONN:
        *value = end->backlog > 0;
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
    .bind = vt_unix_bind,
    .listen = vt_unix_listen,
    .accept = vt_unix_accept,
    .connect = vt_unix_connect,
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

int vt_end_create(int kind, struct end **out)
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
    *out = end;
    return 0;
}

void vt_ends_join(struct end *one, struct end *other)
{
    one->peer = other;
    other->peer = one;
    one->connected = other->connected = true;
}

int vt_unix_create(int kind, struct vt_socket **out)
{
    struct end *end;
    int error = vt_end_create(kind, &end);
    if (error == 0)
        *out = &end->socket;
    return error;
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
    vt_ends_join((struct end *)*one, (struct end *)*other);
    return 0;
}
