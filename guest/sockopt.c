/* Socket options, by Linux's numbers. */
#include "host.h"
#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>

#define SECOND INT64_C(1000000000)

/* Those that the host knows. */
int vt_host_option(int level, int name)
{
    static const struct {
        int level, name, option;
    } options[] = {
        {SOL_SOCKET, SO_ERROR, VT_O_ERROR},
        {SOL_SOCKET, SO_REUSEADDR, VT_O_REUSE_ADDRESS},
        {SOL_SOCKET, SO_REUSEPORT, VT_O_REUSE_PORT},
        {SOL_SOCKET, SO_BROADCAST, VT_O_BROADCAST},
        {SOL_SOCKET, SO_KEEPALIVE, VT_O_KEEP_ALIVE},
        {SOL_SOCKET, SO_LINGER, VT_O_LINGER},
        {SOL_SOCKET, SO_RCVBUF, VT_O_RECEIVE_BUFFER},
        {SOL_SOCKET, SO_SNDBUF, VT_O_SEND_BUFFER},
        {SOL_SOCKET, SO_RCVLOWAT, VT_O_RECEIVE_LOW},
        {SOL_SOCKET, SO_OOBINLINE, VT_O_OUT_OF_BAND_INLINE},
        {IPPROTO_TCP, TCP_NODELAY, VT_O_NO_DELAY},
        {IPPROTO_TCP, TCP_CORK, VT_O_CORK},
        {IPPROTO_TCP, TCP_QUICKACK, VT_O_QUICK_ACK},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, VT_O_USER_TIMEOUT},
        {IPPROTO_TCP, TCP_DEFER_ACCEPT, VT_O_DEFER_ACCEPT},
        {IPPROTO_TCP, TCP_MAXSEG, VT_O_MAX_SEGMENT},
        {IPPROTO_TCP, TCP_KEEPIDLE, VT_O_KEEP_IDLE},
        {IPPROTO_TCP, TCP_KEEPINTVL, VT_O_KEEP_INTERVAL},
        {IPPROTO_TCP, TCP_KEEPCNT, VT_O_KEEP_COUNT},
        {IPPROTO_IP, IP_TOS, VT_O_TYPE_OF_SERVICE},
        {IPPROTO_IP, IP_TTL, VT_O_TIME_TO_LIVE},
        {IPPROTO_IP, IP_MULTICAST_LOOP, VT_O_MULTICAST_LOOP},
        {IPPROTO_IP, IP_MULTICAST_TTL, VT_O_MULTICAST_TIME_TO_LIVE},
        {IPPROTO_IPV6, IPV6_V6ONLY, VT_O_V6_ONLY},
        {IPPROTO_IPV6, IPV6_UNICAST_HOPS, VT_O_HOP_LIMIT},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (options[i].level == level && options[i].name == name)
            return options[i].option;
    return -1;
}

/* An int, or a char where an option of IP is that short. */
static int copy_number(int64_t number, void *value, socklen_t *size)
{
    int as_int = (int)number;
    if (*size >= sizeof as_int)
        *size = sizeof as_int;
    memcpy(value, &as_int, *size); /* little-endian */
    return 0;
}

static int copy_out(const void *from, socklen_t length, void *value, socklen_t *size)
{
    if (*size > length)
        *size = length;
    memcpy(value, from, *size);
    return 0;
}

static int get_timeout(int64_t timeout, void *value, socklen_t *size)
{
    struct timeval out = {.tv_sec = timeout / SECOND, .tv_usec = (suseconds_t)(timeout % SECOND / 1000)};
    return copy_out(&out, sizeof out, value, size);
}

static int set_timeout(int64_t *timeout, const void *value, socklen_t size)
{
    struct timeval in;
    if (size < sizeof in)
        return EINVAL;
    memcpy(&in, value, sizeof in);
    if (in.tv_usec < 0 || in.tv_usec >= 1000000)
        return EDOM;
    if (in.tv_sec < 0 || in.tv_sec > INT64_MAX / SECOND / 2)
        *timeout = 0; /* for ever, as good as */
    else
        *timeout = in.tv_sec * SECOND + in.tv_usec * 1000;
    return 0;
}

static int get_option(struct vt_socket *socket, int level, int name, void *value, socklen_t *size)
{
    int64_t number;
    if (level == SOL_SOCKET)
        switch (name) {
        case SO_TYPE:
            return copy_number(socket->kind, value, size);
        case SO_DOMAIN:
            return copy_number(socket->family, value, size);
        case SO_PROTOCOL:
            return copy_number(socket->protocol, value, size);
        case SO_RCVTIMEO:
            return get_timeout(socket->receive_timeout, value, size);
        case SO_SNDTIMEO:
            return get_timeout(socket->send_timeout, value, size);
        }
    int error = socket->base.type->socket->get_option(socket, level, name, &number);
    if (error)
        return error;
    if (level != SOL_SOCKET || name != SO_LINGER)
        return copy_number(number, value, size);
    struct linger linger = {.l_onoff = number >= 0, .l_linger = number >= 0 ? (int)number : 0};
    return copy_out(&linger, sizeof linger, value, size);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
    struct vt_socket *socket = vt_socket_of(fd);
    return socket ? vt_result(get_option(socket, level, name, value, size)) : -1;
}

static int set_option(struct vt_socket *socket, int level, int name, const void *value, socklen_t size)
{
    int64_t number = 0;
    if (level == SOL_SOCKET && name == SO_RCVTIMEO)
        return set_timeout(&socket->receive_timeout, value, size);
    if (level == SOL_SOCKET && name == SO_SNDTIMEO)
        return set_timeout(&socket->send_timeout, value, size);
    if (level == SOL_SOCKET && name == SO_LINGER) {
        struct linger linger;
        if (size < sizeof linger)
            return EINVAL;
        memcpy(&linger, value, sizeof linger);
        number = linger.l_onoff ? linger.l_linger : -1;
    } else if (size >= sizeof(int)) {
        int in;
        memcpy(&in, value, sizeof in);
        number = in;
    } else if (level == IPPROTO_IP && size >= 1) {
        number = *(const unsigned char *)value;
    } else {
        return EINVAL;
    }
    return socket->base.type->socket->set_option(socket, level, name, number);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    struct vt_socket *socket = vt_socket_of(fd);
    return socket ? vt_result(set_option(socket, level, name, value, size)) : -1;
}
