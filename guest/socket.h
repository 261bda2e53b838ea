/* Sockets: what the POSIX functions (socket.c, sockopt.c) ask of the two sorts, those of the
 * sandbox (unix.h) and the host's sockets (inet.c). Functions return an errno. */
#ifndef VT_SOCKET_H
#define VT_SOCKET_H

#include <sys/socket.h>

#include "fd.h"

struct vt_socket {
    struct vt_file base;
    int family, kind, protocol;
    int64_t receive_timeout, send_timeout; /* nanoseconds; 0: none */
};

/* Null stands for EOPNOTSUPP. */
struct vt_socket_type {
    int (*bind)(struct vt_socket *, const struct sockaddr *, socklen_t);
    int (*listen)(struct vt_socket *, int backlog);
    /* Tries once. */
    int (*accept)(struct vt_socket *, struct vt_socket **);
    /* Begins: EINPROGRESS, and it is over when the socket is writable. */
    int (*connect)(struct vt_socket *, const struct sockaddr *, socklen_t);
    int (*shutdown)(struct vt_socket *, int how);
    int (*name)(struct vt_socket *, bool peer, struct sockaddr_storage *, socklen_t *);
    int (*get_option)(struct vt_socket *, int level, int name, int64_t *value);
    int (*set_option)(struct vt_socket *, int level, int name, int64_t value);
};

/* Null with an errno: EBADF or ENOTSOCK. */
struct vt_socket *vt_socket_of(int fd);
/* Of a time-out of the socket's. */
int64_t vt_socket_deadline(int64_t timeout);

/* A new one of each sort, for which the caller opens a descriptor. */
int vt_inet_create(int family, int kind, int protocol, struct vt_socket **out);
int vt_pair_create(int kind, struct vt_socket **one, struct vt_socket **other);
int vt_unix_create(int kind, struct vt_socket **out);

/* parcel.c: the descriptors that sendmsg() sends, or null; and what recvmsg() has got, as new ones. */
int vt_parcel_pack(const struct msghdr *message, struct vt_parcel **out);
void vt_parcel_unpack(const struct vt_parcel *parcel, struct msghdr *message, int flags);
void vt_parcel_drop(struct vt_parcel *parcel); /* may be null */

/* Copies a name out, as getsockname() does. */
void vt_copy_name(const struct sockaddr_storage *name, socklen_t size, struct sockaddr *out,
                  socklen_t *room);

#endif
