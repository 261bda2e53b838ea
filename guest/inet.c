/* The host's sockets: TCP and UDP. */
#include "host.h"
#include "socket.h"
#include "inet.h"
#include "wasi.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct inet {
    struct vt_socket socket;
    uint32_t handle;
    bool shut_read;    /* shutdown() */
    struct inet *next; /* of the same bucket */
};

/* --- by handle --- */

static struct inet **buckets;
static uint32_t bucket_count, inet_count; /* bucket_count: 0 or a power of two */

static struct inet **bucket(uint32_t handle) { return &buckets[handle & (bucket_count - 1)]; }

static bool enter(struct inet *inet)
{
    if (inet_count == bucket_count) {
        uint32_t before = bucket_count, wanted = before ? before * 2 : 64;
        struct inet **old = buckets, **larger = calloc(wanted, sizeof *larger);
        if (!larger)
            return false;
        buckets = larger;
        bucket_count = wanted;
        for (uint32_t i = 0; i < before; i++)
            for (struct inet *moved = old[i], *next; moved; moved = next) {
                next = moved->next;
                moved->next = *bucket(moved->handle);
                *bucket(moved->handle) = moved;
            }
        free(old);
    }
    inet->next = *bucket(inet->handle);
    *bucket(inet->handle) = inet;
    inet_count++;
    return true;
}

static void leave(struct inet *inet)
{
    struct inet **link = bucket(inet->handle);
    while (*link != inet)
        link = &(*link)->next;
    *link = inet->next;
    inet_count--;
}

struct vt_file *vt_host_file(uint32_t handle)
{
    for (struct inet *inet = bucket_count ? *bucket(handle) : NULL; inet; inet = inet->next)
        if (inet->handle == handle)
            return &inet->socket.base;
    return NULL;
}

void vt_list_free(const struct vt_list *list, const void *landing)
{
    if (list->count > 0 && list->items != landing)
        free(list->items);
}

/* --- refusals --- */

int vt_host_error(int error)
{
    if (error != ENOTCAPABLE)
        return error;
    vt_self->refused = true;
    return EACCES; /* PermissionError */
}

/* Python puts strerror() into the exception. */
char *__real_strerror(int error);
char *__wrap_strerror(int error)
{
    static char text[512];
    if (!vt_self || !vt_self->refused)
        return __real_strerror(error);
    vt_self->refused = false;
    struct vt_list said = {NULL, 0};
    if (error == EACCES) {
        vt_landing = (struct vt_landing){text, sizeof text - 1};
        host_refusal(&said);
        vt_landing = (struct vt_landing){NULL, 0};
    }
    if (said.count == 0)
        return __real_strerror(error);
    uint32_t size = said.count < sizeof text ? said.count : sizeof text - 1;
    memmove(text, said.items, size);
    vt_list_free(&said, text);
    text[size] = '\0';
    return text;
}

/* --- addresses --- */

static uint64_t big_endian(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

static void put_big_endian(uint64_t value, uint8_t *bytes)
{
    for (int i = 7; i >= 0; i--, value >>= 8)
        bytes[i] = (uint8_t)value;
}

int vt_address_from(const struct sockaddr *name, socklen_t size, struct vt_address *out)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)name;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)name;
    *out = (struct vt_address){0};
    if (!name || size < sizeof name->sa_family)
        return EINVAL;
    if (name->sa_family == AF_INET && size >= sizeof *in) {
        out->family = VT_INET;
        out->port = ntohs(in->sin_port);
        out->low = ntohl(in->sin_addr.s_addr);
        return 0;
    }
    if (name->sa_family == AF_INET6 && size >= sizeof *in6) {
        out->family = VT_INET6;
        out->port = ntohs(in6->sin6_port);
        out->high = big_endian(in6->sin6_addr.s6_addr);
        out->low = big_endian(in6->sin6_addr.s6_addr + 8);
        out->scope = in6->sin6_scope_id;
        return 0;
    }
    return name->sa_family == AF_INET || name->sa_family == AF_INET6 ? EINVAL : EAFNOSUPPORT;
}

socklen_t vt_address_to(const struct vt_address *address, struct sockaddr *name)
{
    if (address->family == VT_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)name;
        *in = (struct sockaddr_in){
            .sin_family = AF_INET,
            .sin_port = htons(address->port),
            .sin_addr.s_addr = htonl((uint32_t)address->low),
        };
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)name;
    *in6 = (struct sockaddr_in6){
        .sin6_family = AF_INET6,
        .sin6_port = htons(address->port),
        .sin6_scope_id = address->scope,
    };
    put_big_endian(address->high, in6->sin6_addr.s6_addr);
    put_big_endian(address->low, in6->sin6_addr.s6_addr + 8);
    return sizeof *in6;
}

/* --- transfers --- */

static uint32_t handle_of(const struct vt_file *file) { return ((const struct inet *)file)->handle; }

static uint32_t message_flags(int flags)
{
    return (flags & MSG_PEEK ? VT_PEEK : 0) | (flags & MSG_OOB ? VT_OUT_OF_BAND : 0)
           | (flags & MSG_TRUNC ? VT_TRUNCATE : 0);
}

/* One list from the host, straight into `part`. */
static int receive_part(struct vt_file *file, struct vt_io *io, struct iovec part, uint32_t *got,
                        uint32_t *whole)
{
    uint32_t how = message_flags(io->flags | MSG_TRUNC);
    vt_landing = (struct vt_landing){part.iov_base, part.iov_len};
    int error;
    if (io->name) {
        struct vt_received_from result;
        host_receive_from(handle_of(file), (uint32_t)part.iov_len, how, &result);
        error = result.is_error ? result.error : 0;
        if (!error) {
            *got = result.bytes.count;
            *whole = result.whole;
            io->name_size = vt_address_to(&result.address, io->name);
        }
    } else {
        struct vt_received result;
        host_receive(handle_of(file), (uint32_t)part.iov_len, how, &result);
        error = result.is_error ? result.error : 0;
        if (!error) {
            *got = result.bytes.count;
            *whole = result.whole;
        }
    }
    vt_landing = (struct vt_landing){NULL, 0};
    return vt_host_error(error);
}

/* Several buffers for one datagram, or for what is only looked at, are filled from one. */
static int receive_scattered(struct vt_file *file, struct vt_io *io, uint32_t *whole)
{
    size_t size = vt_io_size(io);
    char *bytes = malloc(size);
    if (!bytes)
        return ENOBUFS;
    uint32_t got = 0;
    int error = receive_part(file, io, (struct iovec){bytes, size}, &got, whole);
    size_t copied = 0;
    for (struct iovec part; copied < got && vt_io_next(io, &part);) {
        size_t step = part.iov_len < got - copied ? part.iov_len : got - copied;
        memcpy(part.iov_base, bytes + copied, step);
        copied += step;
        io->done += step;
    }
    free(bytes);
    return error;
}

/* The kernel says so of a datagram socket only to a call that waits in it. */
static bool is_over(const struct vt_file *file, const struct vt_io *io)
{
    return ((const struct inet *)file)->shut_read && vt_io_may_wait(file, io);
}

static int inet_read(struct vt_file *file, struct vt_io *io)
{
    bool stream = ((struct vt_socket *)file)->kind == SOCK_STREAM;
    uint32_t got = 0, whole = 0;
    struct iovec part = {NULL, 0};
    if (io->count > 1 && (!stream || (io->flags & MSG_PEEK))) {
        int error = receive_scattered(file, io, &whole);
        if (error)
            return error;
        got = (uint32_t)io->done;
    } else {
        if (!vt_io_next(io, &part) && stream)
            return 0;
        int error = receive_part(file, io, part, &got, &whole);
        if (error)
            return error == EAGAIN && is_over(file, io) ? 0 : error;
        io->done += got;
        /* More buffers: what is there already goes into them. */
        while (stream && got == part.iov_len && vt_io_next(io, &part)
               && receive_part(file, io, part, &got, &whole) == 0)
            io->done += got;
    }
    if (!stream) {
        io->whole = whole;
        io->truncated = whole > got;
    } else if (io->name && !(io->flags & MSG_PEEK)) {
        io->name_size = 0;
    }
    return 0;
}

static int send_part(struct vt_file *file, struct vt_io *io, const struct iovec *part)
{
    struct vt_number result;
    uint32_t how = message_flags(io->flags & MSG_OOB), size = (uint32_t)part->iov_len;
    if (io->name_size > 0) {
        struct vt_address address;
        int error = vt_address_from(io->name, io->name_size, &address);
        if (error)
            return error;
        host_send_to(handle_of(file), part->iov_base, size, how, VT_SPREAD(&address), &result);
    } else {
        host_send(handle_of(file), part->iov_base, size, how, &result);
    }
    if (result.is_error)
        return vt_host_error(result.error);
    io->done += result.value;
    return 0;
}

/* A datagram of several buffers is sent as one. */
static int send_gathered(struct vt_file *file, struct vt_io *io)
{
    size_t size = vt_io_size(io), filled = 0;
    char *bytes = malloc(size ? size : 1);
    if (!bytes)
        return ENOBUFS;
    for (int i = 0; i < io->count; filled += io->buffers[i++].iov_len)
        memcpy(bytes + filled, io->buffers[i].iov_base, io->buffers[i].iov_len);
    int error = send_part(file, io, &(struct iovec){bytes, size});
    free(bytes);
    return error;
}

static int inet_write(struct vt_file *file, struct vt_io *io)
{
    struct iovec part = {NULL, 0};
    if (((struct vt_socket *)file)->kind == SOCK_STREAM) {
        if (!vt_io_next(io, &part) && vt_io_size(io) > 0)
            return 0;
        return send_part(file, io, &part);
    }
    if (io->count == 1)
        part = io->buffers[0];
    return io->count > 1 ? send_gathered(file, io) : send_part(file, io, &part);
}

static int inet_available(struct vt_file *file, int *count)
{
    struct vt_number result;
    host_available(handle_of(file), &result);
    if (result.is_error)
        return result.error;
    *count = (int)result.value;
    return 0;
}

/* --- readiness --- */

static const struct {
    short poll;
    uint8_t host;
} readiness[] = {
    {POLLIN | POLLRDNORM, VT_READABLE}, {POLLOUT | POLLWRNORM, VT_WRITABLE}, {POLLERR, VT_ERROR},
    {POLLHUP, VT_HANGUP}, {POLLRDHUP, VT_READ_HANGUP}, {POLLPRI, VT_URGENT},
};
#define SORTS (sizeof readiness / sizeof readiness[0])

uint32_t vt_interest_of(short events)
{
    uint32_t interest = 0;
    for (size_t i = 0; i < SORTS; i++)
        if (readiness[i].poll & events)
            interest |= readiness[i].host;
    return interest;
}

short vt_events_of(uint32_t now)
{
    short events = 0;
    for (size_t i = 0; i < SORTS; i++)
        if (readiness[i].host & now)
            events |= readiness[i].poll;
    return events;
}

static short inet_ready(struct vt_file *file) { return vt_events_of(host_ready(handle_of(file))); }

static bool inet_subscribe(struct vt_file *file, short events)
{
    return host_subscribe(handle_of(file), vt_interest_of(events));
}

/* --- as a socket --- */

static int over(const struct vt_done *result)
{
    return result->is_error ? vt_host_error(result->error) : 0;
}

static int inet_bind(struct vt_socket *socket, const struct sockaddr *name, socklen_t size)
{
    struct vt_address address;
    struct vt_done result;
    int error = vt_address_from(name, size, &address);
    if (error)
        return error;
    host_bind(handle_of(&socket->base), VT_SPREAD(&address), &result);
    return over(&result);
}

static int inet_listen(struct vt_socket *socket, int backlog)
{
    struct vt_done result;
    host_listen(handle_of(&socket->base), backlog > 0 ? (uint32_t)backlog : 0, &result);
    return over(&result);
}

static int inet_connect(struct vt_socket *socket, const struct sockaddr *name, socklen_t size)
{
    struct vt_address address;
    struct vt_done result;
    if (size >= sizeof name->sa_family && name->sa_family == AF_UNSPEC) {
        host_disconnect(handle_of(&socket->base), &result);
        return over(&result);
    }
    int error = vt_address_from(name, size, &address);
    if (error)
        return error;
    host_connect(handle_of(&socket->base), VT_SPREAD(&address), &result);
    return over(&result);
}

static int inet_shutdown(struct vt_socket *socket, int how)
{
    struct vt_done result;
    ((struct inet *)socket)->shut_read |= how != SHUT_WR;
    host_shutdown(handle_of(&socket->base), (uint32_t)how, &result); /* numbered as POSIX does */
    return over(&result);
}

static int inet_name(struct vt_socket *socket, bool peer, struct sockaddr_storage *name, socklen_t *size)
{
    struct vt_address_result result;
    if (peer)
        host_remote_address(handle_of(&socket->base), &result);
    else
        host_local_address(handle_of(&socket->base), &result);
    if (result.is_error)
        return result.error;
    *size = vt_address_to(&result.address, (struct sockaddr *)name);
    return 0;
}

static int inet_get_option(struct vt_socket *socket, int level, int name, int64_t *value)
{
    struct vt_number64 result;
    int option = vt_host_option(level, name);
    if (option < 0)
        return ENOPROTOOPT;
    host_get_option(handle_of(&socket->base), (uint32_t)option, &result);
    if (result.is_error)
        return result.error;
    *value = result.value;
    return 0;
}

static int inet_set_option(struct vt_socket *socket, int level, int name, int64_t value)
{
    struct vt_done result;
    int option = vt_host_option(level, name);
    if (option < 0)
        return ENOPROTOOPT;
    host_set_option(handle_of(&socket->base), (uint32_t)option, value, &result);
    return over(&result);
}

/* --- life and death --- */

static int inet_create(uint32_t handle, const struct vt_socket *like, struct vt_socket **out);

static int inet_accept(struct vt_socket *socket, struct vt_socket **peer)
{
    struct vt_accepted result;
    host_accept(handle_of(&socket->base), &result);
    if (result.is_error)
        return vt_host_error(result.error);
    return inet_create(result.handle, socket, peer);
}

static void inet_release(struct vt_file *file)
{
    struct vt_done result;
    leave((struct inet *)file);
    host_close(handle_of(file), &result);
    free(file);
}

static const struct vt_socket_type inet_socket = {
    .bind = inet_bind,
    .listen = inet_listen,
    .accept = inet_accept,
    .connect = inet_connect,
    .shutdown = inet_shutdown,
    .name = inet_name,
    .get_option = inet_get_option,
    .set_option = inet_set_option,
};
#define INET_TYPE(sort)                       \
    {                                         \
        .filetype = sort,                     \
        .mode = S_IFSOCK | S_IRWXU,           \
        .read = inet_read,                    \
        .write = inet_write,                  \
        .ready = inet_ready,                  \
        .subscribe = inet_subscribe,          \
        .available = inet_available,          \
        .release = inet_release,              \
        .socket = &inet_socket,               \
    }
static const struct vt_file_type tcp = INET_TYPE(__WASI_FILETYPE_SOCKET_STREAM);
static const struct vt_file_type udp = INET_TYPE(__WASI_FILETYPE_SOCKET_DGRAM);

uint32_t vt_host_handle(const struct vt_file *file)
{
    return file->type == &tcp || file->type == &udp ? handle_of(file) : 0;
}

static int inet_create(uint32_t handle, const struct vt_socket *like, struct vt_socket **out)
{
    struct vt_done ignored;
    struct inet *inet = calloc(1, sizeof *inet);
    if (!inet) {
        host_close(handle, &ignored);
        return ENOMEM;
    }
    inet->socket.base.type = like->kind == SOCK_STREAM ? &tcp : &udp;
    inet->socket.base.flags = O_RDWR;
    inet->socket.family = like->family;
    inet->socket.kind = like->kind;
    inet->socket.protocol = like->protocol;
    inet->handle = handle;
    if (!enter(inet)) {
        host_close(handle, &ignored);
        free(inet);
        return ENOMEM;
    }
    *out = &inet->socket;
    return 0;
}

int vt_inet_create(int family, int kind, int protocol, struct vt_socket **out)
{
    int usual = kind == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    if (kind == SOCK_RAW)
        return EPERM;
    if (kind != SOCK_STREAM && kind != SOCK_DGRAM)
        return EPROTONOSUPPORT; /* Linux has another errno for a kind that it does not know */
    if (protocol != 0 && protocol != usual)
        return EPROTONOSUPPORT;
    struct vt_number result;
    host_open(family == AF_INET ? VT_INET : VT_INET6, kind == SOCK_STREAM ? VT_STREAM : VT_DATAGRAM,
              &result);
    if (result.is_error)
        return vt_host_error(result.error);
    return inet_create(result.value,
                       &(struct vt_socket){.family = family, .kind = kind, .protocol = usual}, out);
}
