/* The POSIX functions on sockets; their options are in sockopt.c. */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct vt_socket *vt_socket_of(int fd)
{
    struct vt_file *file = vt_file_of(fd);
    if (file && file->type->socket)
        return (struct vt_socket *)file;
    errno = file ? ENOTSOCK : EBADF;
    return NULL;
}

static const struct vt_socket_type *type_of(const struct vt_socket *socket)
{
    return socket->base.type->socket;
}

int64_t vt_socket_deadline(int64_t timeout)
{
    return timeout ? (int64_t)vt_now(VT_MONOTONIC) + timeout : VT_FOREVER;
}

void vt_copy_name(const struct sockaddr_storage *name, socklen_t size, struct sockaddr *out,
                  socklen_t *room)
{
    if (!out || !room)
        return;
    memcpy(out, name, size < *room ? size : *room);
    *room = size;
}

/* --- making them --- */

#define KIND_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

static int open_socket(struct vt_socket *socket, int flags, int *fd)
{
    if (flags & SOCK_NONBLOCK)
        socket->base.flags |= O_NONBLOCK;
    return vt_fd_open(&socket->base, flags & SOCK_CLOEXEC, fd);
}

static int create(int family, int kind, int protocol, struct vt_socket **out)
{
    switch (family) {
    case AF_INET:
    case AF_INET6:
        return vt_inet_create(family, kind, protocol, out);
    case AF_UNIX:
        return vt_unix_create(kind, out);
    default:
        return EAFNOSUPPORT;
    }
}

int socket(int family, int kind, int protocol)
{
    struct vt_socket *made;
    int fd, error = create(family, kind & ~KIND_FLAGS, protocol, &made);
    if (error == 0)
        error = open_socket(made, kind, &fd);
    return error ? vt_result(error) : fd;
}

int socketpair(int family, int kind, int protocol, int fds[2])
{
    if (family != AF_UNIX)
        return vt_result(family == AF_INET || family == AF_INET6 ? EOPNOTSUPP : EAFNOSUPPORT);
    if (protocol != 0)
        return vt_result(EPROTONOSUPPORT);
    struct vt_socket *one, *other;
    int first, second, error = vt_pair_create(kind & ~KIND_FLAGS, &one, &other);
    if (error)
        return vt_result(error);
    error = open_socket(one, kind, &first);
    if (error) {
        other->base.type->release(&other->base);
        return vt_result(error);
    }
    error = open_socket(other, kind, &second);
    if (error) {
        vt_fd_close(first);
        return vt_result(error);
    }
    fds[0] = first;
    fds[1] = second;
    return 0;
}

/* --- names and connections --- */

int bind(int fd, const struct sockaddr *name, socklen_t size)
{
    struct vt_socket *socket = vt_socket_of(fd);
    if (!socket)
        return -1;
    return vt_result(type_of(socket)->bind ? type_of(socket)->bind(socket, name, size) : EOPNOTSUPP);
}

int listen(int fd, int backlog)
{
    struct vt_socket *socket = vt_socket_of(fd);
    if (!socket)
        return -1;
    return vt_result(type_of(socket)->listen ? type_of(socket)->listen(socket, backlog)
                                             : EOPNOTSUPP);
}

static int accept_one(struct vt_socket *socket, struct vt_socket **peer)
{
    if (!type_of(socket)->accept)
        return EOPNOTSUPP;
    int64_t deadline = vt_socket_deadline(socket->receive_timeout);
    for (;;) {
        int error = type_of(socket)->accept(socket, peer);
        if (error != EAGAIN || (socket->base.flags & O_NONBLOCK))
            return error;
        error = vt_file_wait(&socket->base, POLLIN, deadline);
        if (error)
            return error == ETIMEDOUT ? EAGAIN : error;
    }
}

int accept4(int fd, struct sockaddr *restrict name, socklen_t *restrict size, int flags)
{
    struct vt_socket *socket = vt_socket_of(fd), *peer;
    if (!socket)
        return -1;
    if (flags & ~KIND_FLAGS)
        return vt_result(EINVAL);
    struct sockaddr_storage whose;
    socklen_t length = 0;
    vt_file_keep(&socket->base);
    int accepted, error = accept_one(socket, &peer);
    vt_file_drop(&socket->base);
    if (error)
        return vt_result(error);
    type_of(peer)->name(peer, true, &whose, &length);
    error = open_socket(peer, flags, &accepted);
    if (error)
        return vt_result(error);
    vt_copy_name(&whose, length, name, size);
    return accepted;
}

int accept(int fd, struct sockaddr *restrict name, socklen_t *restrict size)
{
    return accept4(fd, name, size, 0);
}

/* connect() begun: how does it end? */
static int finish_connecting(struct vt_socket *socket)
{
    int error = vt_file_wait(&socket->base, POLLOUT, vt_socket_deadline(socket->send_timeout));
    if (error)
        return error == ETIMEDOUT ? EINPROGRESS : error;
    int64_t value;
    error = type_of(socket)->get_option(socket, SOL_SOCKET, SO_ERROR, &value);
    return error ? error : (int)value;
}

int connect(int fd, const struct sockaddr *name, socklen_t size)
{
    struct vt_socket *socket = vt_socket_of(fd);
    if (!socket)
        return -1;
    if (!type_of(socket)->connect)
        return vt_result(EOPNOTSUPP);
    vt_file_keep(&socket->base);
    int error = type_of(socket)->connect(socket, name, size);
    if ((error == EINPROGRESS || error == EALREADY) && !(socket->base.flags & O_NONBLOCK))
        error = finish_connecting(socket);
    vt_file_drop(&socket->base);
    return vt_result(error);
}

int shutdown(int fd, int how)
{
    struct vt_socket *socket = vt_socket_of(fd);
    if (!socket)
        return -1;
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return vt_result(EINVAL);
    return vt_result(type_of(socket)->shutdown(socket, how));
}

static int name_of(int fd, bool peer, struct sockaddr *name, socklen_t *size)
{
    struct vt_socket *socket = vt_socket_of(fd);
    if (!socket)
        return -1;
    struct sockaddr_storage storage;
    socklen_t length = 0;
    int error = type_of(socket)->name(socket, peer, &storage, &length);
    if (error == 0)
        vt_copy_name(&storage, length, name, size);
    return vt_result(error);
}

int getsockname(int fd, struct sockaddr *restrict name, socklen_t *restrict size)
{
    return name_of(fd, false, name, size);
}

int getpeername(int fd, struct sockaddr *restrict name, socklen_t *restrict size)
{
    return name_of(fd, true, name, size);
}

/* --- transfers --- */

static ssize_t receive(int fd, struct vt_io *io)
{
    struct vt_socket *socket = vt_socket_of(fd);
    if (!socket)
        return -1;
    int error = vt_file_read(&socket->base, io, vt_socket_deadline(socket->receive_timeout));
    if (error)
        return vt_result(error);
    return (ssize_t)(io->truncated && (io->flags & MSG_TRUNC) ? io->whole : io->done);
}

static ssize_t transmit(int fd, struct vt_io *io)
{
    struct vt_socket *socket = vt_socket_of(fd);
    if (!socket)
        return -1;
    int error = vt_file_write(&socket->base, io, vt_socket_deadline(socket->send_timeout));
    vt_parcel_drop(io->parcel); /* it went with nothing */
    return error ? vt_result(error) : (ssize_t)io->done;
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    struct iovec buffer = {bytes, size};
    struct vt_io io = {.buffers = &buffer, .count = 1, .flags = flags};
    return receive(fd, &io);
}

ssize_t recvfrom(int fd, void *restrict bytes, size_t size, int flags, struct sockaddr *restrict name,
                 socklen_t *restrict name_size)
{
    struct iovec buffer = {bytes, size};
    struct sockaddr_storage from;
    struct vt_io io = {.buffers = &buffer, .count = 1, .flags = flags,
                       .name = name ? (struct sockaddr *)&from : NULL};
    ssize_t result = receive(fd, &io);
    if (result >= 0)
        vt_copy_name(&from, io.name_size, name, name_size);
    return result;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    struct sockaddr_storage from;
    struct vt_io io = {.buffers = message->msg_iov, .count = message->msg_iovlen, .flags = flags,
                       .name = message->msg_name ? (struct sockaddr *)&from : NULL, .control = true};
    ssize_t result = receive(fd, &io);
    if (result >= 0) {
        vt_copy_name(&from, io.name_size, message->msg_name, &message->msg_namelen);
        message->msg_flags = io.truncated ? MSG_TRUNC : 0;
        vt_parcel_unpack(io.parcel, message, flags);
    }
    vt_parcel_drop(io.parcel);
    return result;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    return sendto(fd, bytes, size, flags, NULL, 0);
}

ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *name,
               socklen_t name_size)
{
    struct iovec buffer = {(void *)bytes, size};
    struct vt_io io = {.buffers = &buffer, .count = 1, .flags = flags,
                       .name = (struct sockaddr *)name, .name_size = name ? name_size : 0};
    return transmit(fd, &io);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct vt_io io = {.buffers = message->msg_iov, .count = message->msg_iovlen, .flags = flags,
                       .name = message->msg_name,
                       .name_size = message->msg_name ? message->msg_namelen : 0};
    const struct vt_socket *socket = vt_socket_of(fd);
    if (!socket)
        return -1;
    if (message->msg_controllen > 0) {
        int error = socket->family == AF_UNIX ? vt_parcel_pack(message, &io.parcel)
                                              : EOPNOTSUPP; /* no packet information */
        if (error)
            return vt_result(error);
    }
    return transmit(fd, &io);
}
