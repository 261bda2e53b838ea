/* AF_UNIX, all of it inside the sandbox: ends and what lies in their inboxes (pair.c), names and
 * connections (unix.c), what goes with the bytes (parcel.c). */
#ifndef VT_UNIX_H
#define VT_UNIX_H

#include <sys/un.h>

#include "ring.h"
#include "socket.h"

struct end;

/* What a socket was bound to. */
struct vt_name {
    struct vt_name *next;  /* of those that can be found */
    struct end *end;       /* that is bound to it; null: closed */
    int holders;           /* who may still show it; the list is one */
    bool listed;           /* it can be found */
    char *path;            /* in full; null: an abstract name */
    socklen_t size;        /* of `address`, which is as it was given to bind() */
    struct sockaddr_un address;
};

/* What goes with some bytes of an inbox. */
struct vt_parcel {
    struct vt_parcel *next;
    uint64_t from, to;      /* which, counted from the inbox's first ever */
    struct vt_name *sender; /* of a datagram; may be null */
    int count;
    struct vt_file *files[]; /* SCM_RIGHTS */
};

struct end {
    struct vt_socket socket;
    struct end *peer;     /* of a pair or connection; null: closed, or never connected */
    struct vt_name *name; /* may be null; that of a connection's server is its listener's */
    struct vt_name *to;   /* of datagrams: whom connect() named */
    struct vt_ring inbox;
    uint64_t taken; /* bytes ever taken out of it */
    struct vt_parcel *first, *last;
    /* Connections that are not accepted yet, or senders of datagrams that found no room here. */
    struct end *waiting, *last_waiting;
    int waiting_count;
    struct end *host, *next; /* in whose such list it stands */
    int backlog; /* 0: does not listen */
    bool connected; /* it had a peer */
    bool shut_read, shut_write;
    int error; /* SO_ERROR */
};

/* pair.c */
int vt_end_create(int kind, struct end **out);
void vt_ends_join(struct end *one, struct end *other);
/* Puts `end` at the end of the list of `host`, or takes it out of the one that it is in. */
void vt_end_wait(struct end *end, struct end *host);
void vt_end_leave(struct end *end);

/* unix.c */
void vt_unix_unbind(struct end *end);
int vt_unix_bind(struct vt_socket *socket, const struct sockaddr *name, socklen_t size);
int vt_unix_listen(struct vt_socket *socket, int backlog);
int vt_unix_accept(struct vt_socket *socket, struct vt_socket **peer);
int vt_unix_connect(struct vt_socket *socket, const struct sockaddr *name, socklen_t size);
/* Whom a datagram to this address reaches. */
int vt_unix_find(const struct sockaddr *name, socklen_t size, struct end **out);
struct vt_name *vt_name_keep(struct vt_name *name); /* null stays null */
void vt_name_drop(struct vt_name *name);

/* parcel.c */
/* One without files, or one more of each file. */
struct vt_parcel *vt_parcel_copy(const struct vt_parcel *parcel);

#endif
