/* Descriptors: the table of fd.c, what stands in it, and how threads wait for it (wait.c).
 *
 * A descriptor is a number that names an open file description (`struct vt_file`); several may name
 * the same one (dup). O_NONBLOCK, O_APPEND and the position belong to the description, FD_CLOEXEC
 * to the descriptor. Functions that return an int return an errno, 0 for success. */
#ifndef VT_FD_H
#define VT_FD_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "vt.h"

/* The most that a limit can be; as Linux's RLIMIT_NOFILE, it is a number of descriptors. */
#define VT_DESCRIPTORS 65536

struct vt_file;

/* One call of read or write, or of their kin on sockets. */
struct vt_io {
    const struct iovec *buffers;
    int count;
    int flags;             /* MSG_* */
    size_t done;           /* bytes so far; a repeated try goes on from there */
    struct sockaddr *name; /* where from, or where to; may be null */
    socklen_t name_size;   /* room in `name`, then what it takes */
    bool truncated;        /* a datagram was longer than the buffers */
    size_t whole;          /* its length */
    bool control;          /* a reader that takes `parcel` */
    struct vt_parcel *parcel; /* what goes with the bytes (parcel.c); may be null */
};

/* What a description of one sort can do. `read` and `write` try once, add to io->done, and say
 * EAGAIN rather than wait. */
struct vt_file_type {
    uint8_t filetype; /* of WASI's */
    mode_t mode;      /* S_IF*, where WASI has no name for it */
    int (*read)(struct vt_file *, struct vt_io *);
    int (*write)(struct vt_file *, struct vt_io *);
    short (*ready)(struct vt_file *); /* POLL*, now */
    /* What the host knows the readiness of: have this fiber woken when one of `events` is there.
     * True: it is already. Null for what only another thread can change. */
    bool (*subscribe)(struct vt_file *, short events);
    int (*available)(struct vt_file *, int *); /* FIONREAD; may be null */
    void (*release)(struct vt_file *);         /* nothing names it any more: free it */
    const struct vt_socket_type *socket;       /* null: ENOTSOCK */
};

/* Somebody who is told when a description changes: a thread (wait.c) or an item of an epoll. */
struct vt_waiter {
    struct vt_waiter *next, *previous;
    struct vt_file *file; /* null: told of nothing any more, for the description was closed */
    void (*tell)(struct vt_waiter *);
    vt_thread *thread;
    short events;
    bool told;
};

struct vt_file {
    const struct vt_file_type *type;
    uint32_t descriptors; /* that name it, calls that wait for it, and messages with it on their
                             way (parcel.c) */
    int flags;            /* as F_GETFL */
    struct vt_waiter *first, *last;
};

/* --- fd.c --- */

void vt_fd_start(void); /* before the first use of a descriptor */
/* Leaves nothing open, so that vt_fd_start() can follow; or does nothing and returns a descriptor
 * that has been opened since (or changed). */
int vt_fd_stop(void);
struct vt_file *vt_file_of(int fd); /* null: EBADF */
int vt_fd_room(void); /* EMFILE if all are in use */
/* The lowest free descriptor for `file`, which is released if there is none. */
int vt_fd_open(struct vt_file *file, bool close_on_exec, int *fd);
/* One descriptor more for `file`. */
int vt_fd_share(struct vt_file *file, bool close_on_exec, int *fd);
int vt_fd_close(int fd);
/* As on Linux, a call that waits keeps its description: closing the last descriptor ends no wait. */
static inline void vt_file_keep(struct vt_file *file) { file->descriptors++; }
/* The last dismisses who watches it without keeping it, and releases it. */
void vt_file_drop(struct vt_file *file);
int vt_fd_duplicate(int fd, int lowest, bool close_on_exec, int *copy); /* F_DUPFD */
int vt_fd_replace(int fd, int target, bool close_on_exec);             /* dup3 */
bool vt_fd_close_on_exec(int fd);
void vt_fd_set_close_on_exec(int fd, bool close_on_exec);
/* -1 with errno, unless `error` is 0. */
int vt_result(int error);

/* --- wait.c --- */

/* Whoever waits for one of `events`, an error or a hang-up looks again. */
void vt_file_changed(struct vt_file *file, short events);
void vt_waiter_add(struct vt_waiter *waiter, struct vt_file *file, short events);
void vt_waiter_remove(struct vt_waiter *waiter);
void vt_waiters_dismiss(struct vt_file *file); /* it is closed */
/* A waiter that unparks the calling thread. */
struct vt_waiter vt_waiting_thread(void);
/* 0 when it is worth another try; ETIMEDOUT, EINTR; EBADF: `file`, which the caller did not keep,
 * is no more. */
int vt_file_wait(struct vt_file *file, short events, int64_t deadline);

size_t vt_io_size(const struct vt_io *io);
/* The part of the buffers that is still to be done; false at the end. */
bool vt_io_next(const struct vt_io *io, struct iovec *part);
bool vt_io_may_wait(const struct vt_file *file, const struct vt_io *io);
/* Try, wait, try again, as the description's flags and io->flags say. `file` may be no more then. */
int vt_file_read(struct vt_file *file, struct vt_io *io, int64_t deadline);
int vt_file_write(struct vt_file *file, struct vt_io *io, int64_t deadline);

/* --- the sorts --- */

struct vt_file *vt_stream_file(int stream);       /* stdio.c */
struct vt_file *vt_wasi_file(int32_t wasi);       /* wasi.c; null: ENOMEM */
struct vt_file *vt_device_file(const char *name); /* device.c; null with errno */
void vt_epoll_forget(struct vt_waiter *waiter);   /* epoll.c */

#endif
