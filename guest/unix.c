/* Names and connections of AF_UNIX. Names live here and not in any folder: they are the sandbox's own,
 * need nothing that is writable and end with the run. stat() and unlink() know the paths (paths.c); a
 * listing of their folder does not show them. */
#include "unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "names.h"
#include "wasi.h"

#define NO_NAME ((socklen_t)offsetof(struct sockaddr_un, sun_path))

static struct vt_name *names;

/* --- paths in full --- */

/* Makes it absolute, without `.`, `..` and double slashes, by its text alone. Null: no memory. */
static char *in_full(const char *path, size_t length)
{
    extern char *__wasilibc_cwd;
    const char *folder = length > 0 && path[0] == '/' ? "" : __wasilibc_cwd;
    size_t start = strlen(folder), size = 0;
    char *whole = malloc(2 * (start + length + 3)), *full = whole;
    if (!whole)
        return NULL;
    memcpy(whole, folder, start);
    whole[start] = '/';
    memcpy(whole + start + 1, path, length);
    whole[start + 1 + length] = '\0';
    full = whole + start + length + 2;
    full[0] = '\0';
    for (char *rest, *part = strtok_r(whole, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") == 0) {
            while (size > 0 && full[--size] != '/')
                ;
        } else {
            full[size++] = '/';
            size_t step = strlen(part);
            memcpy(full + size, part, step);
            size += step;
        }
        full[size] = '\0';
    }
    memmove(whole, full, size + 1);
    return whole;
}

/* --- names --- */

struct vt_name *vt_name_keep(struct vt_name *name)
{
    if (name)
        name->holders++;
    return name;
}

void vt_name_drop(struct vt_name *name)
{
    if (!name || --name->holders > 0)
        return;
    free(name->path);
    free(name);
}

static void unlist(struct vt_name *name)
{
    struct vt_name **link = &names;
    while (*link != name)
        link = &(*link)->next;
    *link = name->next;
    name->listed = false;
    vt_name_drop(name);
}

static struct vt_name *find_path(const char *path, size_t length)
{
    if (!names)
        return NULL;
    char *full = in_full(path, length);
    struct vt_name *name = full ? names : NULL;
    while (name && !(name->path && strcmp(name->path, full) == 0))
        name = name->next;
    free(full);
    return name;
}

static struct vt_name *find_abstract(const struct sockaddr_un *address, socklen_t size)
{
    struct vt_name *name = names;
    while (name && (name->path || name->size != size || memcmp(&name->address, address, size) != 0))
        name = name->next;
    return name;
}

static size_t path_length(const struct sockaddr_un *address, socklen_t size)
{
    return strnlen(address->sun_path, size - NO_NAME);
}

static bool is_abstract(const struct sockaddr_un *address) { return address->sun_path[0] == '\0'; }

/* Python ends every name with a zero, so that alone is none. */
static int check(const struct sockaddr *name, socklen_t size)
{
    bool empty = size <= NO_NAME || (size == NO_NAME + 1 && is_abstract((struct sockaddr_un *)name));
    return empty || size > sizeof(struct sockaddr_un) || name->sa_family != AF_UNIX ? EINVAL : 0;
}

static struct vt_name *find(const struct sockaddr_un *address, socklen_t size)
{
    return is_abstract(address) ? find_abstract(address, size)
                                : find_path(address->sun_path, path_length(address, size));
}

/* A file of WASI's of that name. */
static bool is_a_file(const struct sockaddr_un *address, socklen_t size)
{
    char path[sizeof address->sun_path + 1];
    struct stat status;
    size_t length = path_length(address, size);
    memcpy(path, address->sun_path, length);
    path[length] = '\0';
    return lstat(path, &status) == 0;
}

int vt_unix_bind(struct vt_socket *socket, const struct sockaddr *given, socklen_t size)
{
    struct end *end = (struct end *)socket;
    const struct sockaddr_un *address = (const struct sockaddr_un *)given;
    if (check(given, size) || end->name)
        return EINVAL;
    if (find(address, size) || (!is_abstract(address) && is_a_file(address, size)))
        return EADDRINUSE;
    struct vt_name *name = calloc(1, sizeof *name);
    if (!name)
        return ENOMEM;
    memcpy(&name->address, address, size);
    name->size = size;
    if (!is_abstract(address)) {
        size_t length = path_length(address, size);
        name->path = in_full(address->sun_path, length);
        if (!name->path) {
            free(name);
            return ENOMEM;
        }
        if (length < sizeof address->sun_path) /* getsockname() tells the zero behind it, too */
            name->size = NO_NAME + (socklen_t)length + 1;
    }
    name->end = end;
    name->holders = 2;
    name->listed = true;
    name->next = names;
    names = name;
    end->name = name;
    return 0;
}

void vt_unix_unbind(struct end *end)
{
    struct vt_name *name = end->name;
    if (name && name->end == end) {
        name->end = NULL;
        if (name->listed && !name->path)
            unlist(name); /* a path stays until it is unlinked, as POSIX wants it */
    }
    vt_name_drop(name);
}

/* --- as files --- */

bool vt_name_is_bound(const char *path) { return find_path(path, strlen(path)) != NULL; }

int vt_name_status(const char *path, size_t length, __wasi_filestat_t *status)
{
    const struct vt_name *name = find_path(path, length);
    return name ? vt_status(name, __WASI_FILETYPE_SOCKET_STREAM, status) : ENOENT;
}

int vt_name_unlink(const char *path, size_t length)
{
    struct vt_name *name = find_path(path, length);
    if (!name)
        return ENOENT;
    unlist(name);
    return 0;
}

/* --- connections --- */

int vt_unix_find(const struct sockaddr *name, socklen_t size, struct end **out)
{
    const struct sockaddr_un *address = (const struct sockaddr_un *)name;
    if (check(name, size))
        return EINVAL;
    const struct vt_name *found = find(address, size);
    if (!found)
        return is_abstract(address) || is_a_file(address, size) ? ECONNREFUSED : ENOENT;
    *out = found->end;
    return found->end ? 0 : ECONNREFUSED;
}

int vt_unix_listen(struct vt_socket *socket, int backlog)
{
    struct end *end = (struct end *)socket;
    if (socket->kind == SOCK_DGRAM)
        return EOPNOTSUPP;
    if (end->connected || !end->name)
        return EINVAL;
    end->backlog = backlog < 0 || backlog > SOMAXCONN ? SOMAXCONN : backlog + 1;
    return 0;
}

int vt_unix_accept(struct vt_socket *socket, struct vt_socket **peer)
{
    struct end *listener = (struct end *)socket, *accepted = listener->waiting;
    if (listener->backlog == 0)
        return EINVAL;
    if (!accepted)
        return listener->shut_read ? EINVAL : EAGAIN;
    vt_end_leave(accepted);
    vt_file_changed(&socket->base, POLLOUT); /* who waits in connect() */
    *peer = &accepted->socket;
    return 0;
}

static int join_listener(struct end *end, struct end *listener)
{
    struct end *server;
    int error = vt_end_create(end->socket.kind, &server);
    if (error)
        return error;
    server->name = vt_name_keep(listener->name);
    vt_ends_join(end, server);
    vt_end_wait(server, listener);
    vt_file_changed(&listener->socket.base, POLLIN | POLLRDNORM);
    vt_file_changed(&end->socket.base, POLLOUT | POLLWRNORM);
    return 0;
}

/* Waits for room among those that wait to be accepted. The listener may be closed meanwhile. */
static int wait_for_room(struct end *end, struct end *listener)
{
    int error = vt_file_wait(&listener->socket.base, POLLOUT,
                             vt_socket_deadline(end->socket.send_timeout));
    return error == ETIMEDOUT ? EAGAIN : error == EBADF ? ECONNREFUSED : error;
}

static int connect_datagrams(struct end *end, const struct sockaddr *name, socklen_t size)
{
    struct end *other = NULL;
    if (size < sizeof name->sa_family)
        return EINVAL;
    if (name->sa_family != AF_UNSPEC) {
        int error = vt_unix_find(name, size, &other);
        if (error)
            return error;
        if (other->socket.kind != SOCK_DGRAM)
            return EPROTOTYPE;
    }
    vt_name_drop(end->to);
    end->to = other ? vt_name_keep(other->name) : NULL;
    return 0;
}

int vt_unix_connect(struct vt_socket *socket, const struct sockaddr *name, socklen_t size)
{
    struct end *end = (struct end *)socket, *listener;
    if (socket->kind == SOCK_DGRAM)
        return connect_datagrams(end, name, size);
    for (;;) {
        int error = vt_unix_find(name, size, &listener);
        if (error)
            return error;
        if (end->connected || end->backlog > 0)
            return end->connected ? EISCONN : EINVAL;
        if (listener->socket.kind != socket->kind)
            return EPROTOTYPE;
        if (listener->backlog == 0 || listener->shut_read)
            return ECONNREFUSED;
        if (listener->waiting_count < listener->backlog)
            return join_listener(end, listener);
        error = socket->base.flags & O_NONBLOCK ? EAGAIN : wait_for_room(end, listener);
        if (error)
            return error;
    }
}
