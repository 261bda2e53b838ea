/* The table of descriptors. */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "wasi.h"

VT_WASI(fd_prestat_get)(int32_t fd, int32_t result);

__attribute__((import_module("vtwasm:host/limits@0.1.0"), import_name("descriptors")))
uint32_t limits_descriptors(void);

static struct slot {
    struct vt_file *file;
    bool close_on_exec;
} *slots;
static int size; /* of `slots` */
static int limit; /* of descriptors: at most VT_DESCRIPTORS */

/* One bit for each descriptor that is in use; all words below `lowest_word` are full. */
#define WORD_BITS 64
static uint64_t used[VT_DESCRIPTORS / WORD_BITS];
static int lowest_word;

int vt_result(int error)
{
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

struct vt_file *vt_file_of(int fd) { return fd >= 0 && fd < size ? slots[fd].file : NULL; }
bool vt_fd_close_on_exec(int fd) { return slots[fd].close_on_exec; }
void vt_fd_set_close_on_exec(int fd, bool on) { slots[fd].close_on_exec = on; }

static bool make_room(int fd)
{
    if (fd < size)
        return true;
    int wanted = size ? size : 32;
    while (wanted <= fd)
        wanted *= 2;
    struct slot *larger = realloc(slots, (size_t)wanted * sizeof *slots);
    if (!larger)
        return false;
    for (int i = size; i < wanted; i++)
        larger[i] = (struct slot){0};
    slots = larger;
    size = wanted;
    return true;
}

/* The lowest free number that is not below `lowest`; `limit` or more if there is none. */
static int find_free(int lowest)
{
    int word = lowest / WORD_BITS;
    uint64_t below = ((uint64_t)1 << lowest % WORD_BITS) - 1;
    if (word < lowest_word) {
        word = lowest_word;
        below = 0;
    }
    for (; word < VT_DESCRIPTORS / WORD_BITS; word++, below = 0) {
        uint64_t available = ~(used[word] | below);
        if (available)
            return word * WORD_BITS + __builtin_ctzll(available);
    }
    return VT_DESCRIPTORS;
}

static void put(int fd, struct vt_file *file, bool close_on_exec)
{
    slots[fd] = (struct slot){file, close_on_exec};
    used[fd / WORD_BITS] |= (uint64_t)1 << fd % WORD_BITS;
    while (lowest_word < VT_DESCRIPTORS / WORD_BITS - 1 && used[lowest_word] == UINT64_MAX)
        lowest_word++;
    file->descriptors++;
}

/* To ask for the limit again is to say that it was reached (`wit/world.wit`). */
static int refuse(void)
{
    limits_descriptors();
    return EMFILE;
}

static int open_from(struct vt_file *file, int lowest, bool close_on_exec, int *fd)
{
    *fd = find_free(lowest);
    if (*fd >= limit)
        return refuse();
    if (!make_room(*fd))
        return ENOMEM;
    put(*fd, file, close_on_exec);
    return 0;
}

int vt_fd_room(void) { return find_free(0) < limit ? 0 : refuse(); }

int vt_fd_share(struct vt_file *file, bool close_on_exec, int *fd)
{
    return open_from(file, 0, close_on_exec, fd);
}

int vt_fd_open(struct vt_file *file, bool close_on_exec, int *fd)
{
    int error = vt_fd_share(file, close_on_exec, fd);
    if (error)
        file->type->release(file);
    return error;
}

void vt_file_drop(struct vt_file *file)
{
    if (--file->descriptors > 0)
        return;
    vt_waiters_dismiss(file);
    file->type->release(file);
}

int vt_fd_close(int fd)
{
    struct vt_file *file = vt_file_of(fd);
    if (!file)
        return EBADF;
    slots[fd].file = NULL;
    used[fd / WORD_BITS] &= ~((uint64_t)1 << fd % WORD_BITS);
    if (fd / WORD_BITS < lowest_word)
        lowest_word = fd / WORD_BITS;
    vt_file_drop(file);
    return 0;
}

int vt_fd_duplicate(int fd, int lowest, bool close_on_exec, int *copy)
{
    struct vt_file *file = vt_file_of(fd);
    if (!file)
        return EBADF;
    if (lowest < 0 || lowest >= limit)
        return EINVAL;
    return open_from(file, lowest, close_on_exec, copy);
}

int vt_fd_replace(int fd, int target, bool close_on_exec)
{
    struct vt_file *file = vt_file_of(fd);
    if (!file || target < 0 || target >= limit)
        return EBADF;
    if (!make_room(target))
        return ENOMEM;
    struct vt_file *before = slots[target].file;
    put(target, file, close_on_exec);
    if (before)
        vt_file_drop(before);
    return 0;
}

/* --- what is open at the start --- */

/* libc has the preopened folders' numbers from WASI itself; they keep them here. */
void vt_fd_start(void)
{
    uint32_t allowed = limits_descriptors();
    limit = allowed < VT_DESCRIPTORS ? (int)allowed : VT_DESCRIPTORS;
    __wasi_prestat_t prestat;
    for (int fd = 0; make_room(fd); fd++) {
        struct vt_file *file;
        if (fd <= 2)
            file = vt_stream_file(fd);
        else if (wasi_fd_prestat_get(fd, (int32_t)&prestat) == 0)
            file = vt_wasi_file(fd);
        else
            return;
        if (!file)
            break;
        put(fd, file, fd > 2);
    }
    abort(); /* no memory, before anything has run */
}

static bool is_from_start(int fd)
{
    struct vt_file *file = slots[fd].file;
    if (file->descriptors != 1 || file->first)
        return false;
    if (fd <= 2)
        return file == vt_stream_file(fd);
    __wasi_prestat_t prestat;
    return vt_wasi_number(&fd, EBADF) == 0 && wasi_fd_prestat_get(fd, (int32_t)&prestat) == 0;
}

int vt_fd_stop(void)
{
    for (int fd = 0; fd < size; fd++)
        if (slots[fd].file && !is_from_start(fd))
            return fd;
    for (int fd = 0; fd < size; fd++)
        vt_fd_close(fd);
    return -1;
}

/* --- pipes' and sockets' cousins: dup --- */

int dup(int fd)
{
    int copy, error = vt_fd_duplicate(fd, 0, false, &copy);
    return error ? vt_result(error) : copy;
}

int dup3(int fd, int target, int flags)
{
    if (fd == target || (flags & ~O_CLOEXEC))
        return vt_result(EINVAL);
    int error = vt_fd_replace(fd, target, flags & O_CLOEXEC);
    return error ? vt_result(error) : target;
}

int dup2(int fd, int target)
{
    if (fd != target)
        return dup3(fd, target, 0);
    return vt_file_of(fd) ? fd : vt_result(EBADF);
}
