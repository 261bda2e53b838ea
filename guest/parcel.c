/* Ancillary data: descriptors on their way from one thread to another (SCM_RIGHTS). */
#include "unix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* As Linux's SCM_MAX_FD. */
#define MOST 253

static struct vt_parcel *make(int count)
{
    struct vt_parcel *parcel = calloc(1, sizeof *parcel + (size_t)count * sizeof(struct vt_file *));
    return parcel;
}

static void add(struct vt_parcel *parcel, struct vt_file *file)
{
    vt_file_keep(file);
    parcel->files[parcel->count++] = file;
}

struct vt_parcel *vt_parcel_copy(const struct vt_parcel *parcel)
{
    struct vt_parcel *copy = make(parcel ? parcel->count : 0);
    for (int i = 0; copy && parcel && i < parcel->count; i++)
        add(copy, parcel->files[i]);
    return copy;
}

/* A socket in it may hold parcels itself. They wait for their turn, so that no chain of them is too
 * deep for the stack. A socket on its way to itself, though, stays. */
void vt_parcel_drop(struct vt_parcel *parcel)
{
    static struct vt_parcel *dropped;
    static bool dropping;
    if (!parcel)
        return;
    parcel->next = dropped;
    dropped = parcel;
    if (dropping)
        return;
    dropping = true;
    while ((parcel = dropped)) {
        dropped = parcel->next;
        vt_name_drop(parcel->sender);
        for (int i = 0; i < parcel->count; i++)
            vt_file_drop(parcel->files[i]);
        free(parcel);
    }
    dropping = false;
}

/* --- to be sent --- */

static int count_of(const struct cmsghdr *header)
{
    return (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
}

static bool is_whole(const struct msghdr *message, const struct cmsghdr *header)
{
    size_t offset = (size_t)((const char *)header - (const char *)message->msg_control);
    return header->cmsg_len >= CMSG_LEN(0) && header->cmsg_len <= message->msg_controllen - offset;
}

static int add_all(struct vt_parcel *parcel, const struct cmsghdr *header)
{
    for (int i = 0, number; i < count_of(header); i++) {
        memcpy(&number, CMSG_DATA(header) + (size_t)i * sizeof number, sizeof number);
        struct vt_file *file = vt_file_of(number);
        if (!file)
            return EBADF;
        if (parcel->count == MOST)
            return EINVAL;
        add(parcel, file);
    }
    return 0;
}

int vt_parcel_pack(const struct msghdr *message, struct vt_parcel **out)
{
    struct vt_parcel *parcel = make(MOST);
    int error = parcel ? 0 : ENOBUFS;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header && error == 0;
         header = CMSG_NXTHDR(message, header))
        if (!is_whole(message, header) || header->cmsg_level != SOL_SOCKET
            || header->cmsg_type != SCM_RIGHTS)
            error = EINVAL;
        else
            error = add_all(parcel, header);
    if (error == 0 && parcel->count > 0) {
        *out = vt_parcel_copy(parcel); /* of the right size */
        error = *out ? 0 : ENOBUFS;
    }
    vt_parcel_drop(parcel);
    return error;
}

/* --- received --- */

void vt_parcel_unpack(const struct vt_parcel *parcel, struct msghdr *message, int flags)
{
    size_t room = message->msg_controllen;
    message->msg_controllen = 0;
    if (!parcel || parcel->count == 0)
        return;
    int fit = room < CMSG_LEN(sizeof(int)) ? 0 : (int)((room - CMSG_LEN(0)) / sizeof(int)), done = 0;
    for (int number; done < fit && done < parcel->count; done++) {
        if (vt_fd_share(parcel->files[done], flags & MSG_CMSG_CLOEXEC, &number) != 0)
            break;
        memcpy((char *)message->msg_control + CMSG_LEN((size_t)done * sizeof number), &number,
               sizeof number);
    }
    if (done < parcel->count)
        message->msg_flags |= MSG_CTRUNC;
    if (done == 0)
        return;
    size_t size = (size_t)done * sizeof(int);
    struct cmsghdr header = {CMSG_LEN(size), SOL_SOCKET, SCM_RIGHTS};
    memcpy(message->msg_control, &header, sizeof header);
    message->msg_controllen = CMSG_SPACE(size) < room ? CMSG_SPACE(size) : room;
}
