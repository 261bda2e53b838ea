/* epoll. What the guest's own descriptors do comes here by their waiters, what the host's sockets do
 * by a poller of the host's; either costs something for those only that are ready. */
#include "fd.h"
#include "host.h"
#include "wasi.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define NOW ((int64_t)0)
#define POLL_EVENTS 0xFFFF /* the bits that poll(2) has as well */
#define ALWAYS (EPOLLERR | EPOLLHUP)
/* Events that one call of the host brings. */
#define BATCH 32

struct list {
    struct item *first, *last;
};

struct epoll {
    struct vt_file base;
    uint32_t poller; /* of the host; 0 until a socket needs it */
    uint32_t round;  /* number of the current look at all */
    /* Each item is in one of these. */
    struct list idle;   /* somebody will tell */
    struct list ready;  /* worth a look */
    struct list rearm;  /* the poller has told of it and will not again unless it is asked */
    struct list polled; /* the standard streams: looked at each time */
};

struct item {
    struct vt_waiter waiter; /* its file, and for which events */
    struct epoll *epoll;
    struct list *list;
    struct item *next, *previous;
    int fd;
    uint32_t known, round; /* what the host said in that round */
    uint32_t events; /* as asked for; none once EPOLLONESHOT has fired */
    epoll_data_t data;
};

/* --- lists --- */

static void move(struct item *item, struct list *list)
{
    if (item->list) {
        *(item->previous ? &item->previous->next : &item->list->first) = item->next;
        *(item->next ? &item->next->previous : &item->list->last) = item->previous;
    }
    item->list = list;
    item->next = NULL;
    item->previous = NULL;
    if (!list)
        return;
    item->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = item;
    list->last = item;
}

/* --- the poller --- */

static void tell(struct vt_waiter *waiter);

static struct item *item_of(struct vt_waiter *waiter, const struct epoll *epoll)
{
    struct item *item = (struct item *)waiter;
    return waiter->tell == tell && item->epoll == epoll ? item : NULL;
}

/* A socket that stands here under several descriptors is one to the poller, which tells of it by
 * edges if all of them want that. */
static uint32_t interest(const struct epoll *epoll, const struct vt_file *file, bool *edge)
{
    uint32_t events = 0;
    *edge = true;
    for (struct vt_waiter *waiter = file->first; waiter; waiter = waiter->next) {
        struct item *item = item_of(waiter, epoll);
        if (!item || !item->events)
            continue;
        events |= vt_interest_of((short)((item->events | ALWAYS) & POLL_EVENTS));
        *edge &= (item->events & EPOLLET) != 0;
    }
    return events;
}

static int watch(struct epoll *epoll, const struct vt_file *file)
{
    struct vt_done result;
    bool edge;
    if (epoll->poller == 0) {
        struct vt_number made;
        host_poller(&made);
        if (made.is_error)
            return made.error;
        epoll->poller = made.value;
        vt_file_changed(&epoll->base, POLLIN); /* who waits already subscribes to it, too */
    }
    uint32_t events = interest(epoll, file, &edge);
    host_watch(epoll->poller, vt_host_handle(file), events, edge, &result);
    return result.is_error ? result.error : 0;
}

static void rearm(struct item *item)
{
    watch(item->epoll, item->waiter.file);
    move(item, &item->epoll->idle);
}

/* The handles that the poller tells of become ready items; returns how many it told of. */
static uint32_t take_events(struct epoll *epoll)
{
    struct vt_event events[BATCH];
    struct vt_list told;
    vt_landing = (struct vt_landing){events, sizeof events};
    host_events(epoll->poller, BATCH, &told);
    vt_landing = (struct vt_landing){NULL, 0};
    for (uint32_t i = 0; i < told.count; i++) {
        struct vt_file *file = vt_host_file(events[i].handle);
        for (struct vt_waiter *waiter = file ? file->first : NULL; waiter; waiter = waiter->next) {
            struct item *item = item_of(waiter, epoll);
            if (!item || item->events == 0)
                continue;
            item->known = (uint16_t)vt_events_of(events[i].readiness);
            item->round = epoll->round;
            move(item, &epoll->ready);
        }
    }
    return told.count;
}

/* --- items --- */

static struct item *find(struct epoll *epoll, const struct vt_file *file, int fd)
{
    for (struct vt_waiter *waiter = file->first; waiter; waiter = waiter->next) {
        struct item *item = item_of(waiter, epoll);
        if (item && item->fd == fd)
            return item;
    }
    return NULL;
}

/* The item's file has changed or, if it has none any more, was closed. */
static void tell(struct vt_waiter *waiter)
{
    struct item *item = (struct item *)waiter;
    struct epoll *epoll = item->epoll;
    if (!waiter->file) {
        move(item, NULL);
        free(item);
    } else if (item->list == &epoll->idle && !vt_host_handle(waiter->file)) {
        move(item, &epoll->ready);
        vt_file_changed(&epoll->base, POLLIN);
    }
}

static uint32_t look(const struct item *item)
{
    struct vt_file *file = item->waiter.file;
    if (item->events == 0)
        return 0;
    if (item->known && item->round == item->epoll->round)
        return item->known & (item->events | ALWAYS);
    return (uint32_t)(uint16_t)file->type->ready(file) & (item->events | ALWAYS);
}

/* After its events have been asked for: where it stands, and whether it is ready already. */
static int place(struct item *item)
{
    struct epoll *epoll = item->epoll;
    struct vt_file *file = item->waiter.file;
    item->waiter.events = (short)(item->events ? (item->events | ALWAYS) & POLL_EVENTS : 0);
    if (vt_host_handle(file)) {
        move(item, &epoll->idle);
        return watch(epoll, file);
    }
    if (file->type->subscribe) {
        move(item, &epoll->polled);
        vt_file_changed(&epoll->base, POLLIN); /* as above */
        return 0;
    }
    bool ready = look(item) != 0;
    move(item, ready ? &epoll->ready : &epoll->idle);
    if (ready)
        vt_file_changed(&epoll->base, POLLIN);
    return 0;
}

static void remove_item(struct item *item)
{
    struct epoll *epoll = item->epoll;
    struct vt_file *file = item->waiter.file;
    bool host = vt_host_handle(file) != 0;
    vt_waiter_remove(&item->waiter);
    move(item, NULL);
    free(item);
    if (host)
        watch(epoll, file);
}

static int add_item(struct epoll *epoll, struct vt_file *file, int fd, const struct epoll_event *event)
{
    struct item *item = calloc(1, sizeof *item);
    if (!item)
        return ENOMEM;
    *item = (struct item){.epoll = epoll, .fd = fd, .events = event->events, .data = event->data};
    item->waiter.tell = tell;
    vt_waiter_add(&item->waiter, file, 0);
    int error = place(item);
    if (error) {
        vt_waiter_remove(&item->waiter);
        move(item, NULL);
        free(item);
    }
    return error;
}

/* --- waiting --- */

/* Its events have been given to a thread; whether that was the last time is said by the flags. */
static void delivered(struct item *item)
{
    struct epoll *epoll = item->epoll;
    bool host = vt_host_handle(item->waiter.file) != 0, edge;
    if (item->events & EPOLLONESHOT) {
        item->events = 0;
        item->waiter.events = 0;
        if (item->list == &epoll->ready)
            move(item, &epoll->idle);
    } else if (item->list == &epoll->polled) {
        return;
    } else if (host) {
        interest(epoll, item->waiter.file, &edge);
        if (edge)
            move(item, &epoll->idle); /* the poller goes on telling */
        else if (epoll->base.first)
            rearm(item); /* at once: other threads wait for it as well */
        else
            move(item, &epoll->rearm);
    } else {
        move(item, item->events & EPOLLET ? &epoll->idle : &epoll->ready);
    }
}

static int collect_from(struct list *list, struct epoll_event *out, int max)
{
    int count = 0;
    struct item *last = list->last;
    for (struct item *item = list->first, *next; item && count < max; item = next) {
        next = item == last ? NULL : item->next;
        uint32_t events = look(item);
        struct epoll *epoll = item->epoll;
        if (events) {
            out[count++] = (struct epoll_event){events, item->data};
            delivered(item);
        } else if (list == &epoll->ready) {
            move(item, vt_host_handle(item->waiter.file) ? &epoll->rearm : &epoll->idle);
        }
    }
    return count;
}

static int collect(struct epoll *epoll, struct epoll_event *out, int max)
{
    epoll->round++;
    while (epoll->rearm.first)
        rearm(epoll->rearm.first);
    if (epoll->poller)
        for (int told = 0; told < max;) {
            uint32_t batch = take_events(epoll);
            told += (int)batch;
            if (batch < BATCH)
                break;
        }
    int count = collect_from(&epoll->ready, out, max);
    count += collect_from(&epoll->polled, out + count, max - count);
    if (epoll->ready.first && epoll->base.first)
        vt_file_changed(&epoll->base, POLLIN);
    return count;
}

/* True: do not park. */
static bool subscribe(struct epoll *epoll)
{
    bool ready = epoll->poller && host_subscribe(epoll->poller, VT_READABLE);
    for (struct item *item = epoll->polled.first; item; item = item->next) {
        struct vt_file *file = item->waiter.file;
        if (item->events && file->type->subscribe(file, item->waiter.events))
            ready = true;
    }
    return ready;
}

static int wait_until(struct epoll *epoll, struct epoll_event *out, int max, int64_t deadline)
{
    for (;;) {
        int count = collect(epoll, out, max);
        if (count > 0 || deadline == NOW)
            return count;
        if (subscribe(epoll))
            continue;
        struct vt_waiter waiter = vt_waiting_thread();
        vt_waiter_add(&waiter, &epoll->base, POLLIN);
        enum vt_wake wake = vt_park(VT_IO, (uint32_t)(uintptr_t)epoll, deadline);
        vt_waiter_remove(&waiter);
        if (wake == VT_INTERRUPTED) {
            vt_interrupt();
            return vt_result(EINTR);
        }
        if (wake == VT_TIMED_OUT)
            deadline = NOW;
    }
}

/* --- the descriptor --- */

static short epoll_ready(struct vt_file *file)
{
    struct epoll *epoll = (struct epoll *)file;
    epoll->round++;
    while (epoll->rearm.first)
        rearm(epoll->rearm.first);
    if (epoll->poller)
        take_events(epoll);
    for (struct item *item = epoll->ready.first; item; item = item->next)
        if (look(item))
            return POLLIN | POLLRDNORM;
    for (struct item *item = epoll->polled.first; item; item = item->next)
        if (look(item))
            return POLLIN | POLLRDNORM;
    return 0;
}

static bool epoll_subscribe(struct vt_file *file, short events)
{
    return (events & POLLIN) && (epoll_ready(file) || subscribe((struct epoll *)file));
}

static void epoll_release(struct vt_file *file)
{
    struct epoll *epoll = (struct epoll *)file;
    struct list *lists[] = {&epoll->idle, &epoll->ready, &epoll->rearm, &epoll->polled};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        while (lists[i]->first) {
            struct item *item = lists[i]->first;
            vt_waiter_remove(&item->waiter);
            move(item, NULL);
            free(item);
        }
    struct vt_done result;
    if (epoll->poller)
        host_close(epoll->poller, &result);
    free(epoll);
}

static const struct vt_file_type epoll_type = {
    .ready = epoll_ready,
    .subscribe = epoll_subscribe,
    .release = epoll_release,
};

int epoll_create1(int flags)
{
    if (flags & ~EPOLL_CLOEXEC)
        return vt_result(EINVAL);
    struct epoll *epoll = calloc(1, sizeof *epoll);
    if (!epoll)
        return vt_result(ENOMEM);
    epoll->base = (struct vt_file){.type = &epoll_type, .flags = O_RDWR};
    int fd, error = vt_fd_open(&epoll->base, flags & EPOLL_CLOEXEC, &fd);
    return error ? vt_result(error) : fd;
}

int epoll_create(int size) { return size > 0 ? epoll_create1(0) : vt_result(EINVAL); }

static int control(struct epoll *epoll, int operation, int fd, const struct epoll_event *event)
{
    struct vt_file *file = vt_file_of(fd);
    if (!file)
        return EBADF;
    if (file->type == &epoll_type)
        return file == &epoll->base ? EINVAL : ELOOP; /* no epoll in an epoll */
    int32_t wasi = fd;
    if (vt_wasi_number(&wasi, ENOTSUP) == 0 || file->type->filetype == __WASI_FILETYPE_CHARACTER_DEVICE)
        return EPERM; /* always ready */
    struct item *item = find(epoll, file, fd);
    switch (operation) {
    case EPOLL_CTL_ADD:
        return item ? EEXIST : add_item(epoll, file, fd, event);
    case EPOLL_CTL_MOD:
        if (!item)
            return ENOENT;
        item->events = event->events;
        item->data = event->data;
        return place(item);
    case EPOLL_CTL_DEL:
        if (!item)
            return ENOENT;
        remove_item(item);
        return 0;
    default:
        return EINVAL;
    }
}

static struct epoll *epoll_of(int fd)
{
    struct vt_file *file = vt_file_of(fd);
    if (file && file->type == &epoll_type)
        return (struct epoll *)file;
    errno = file ? EINVAL : EBADF;
    return NULL;
}

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    struct epoll *epoll = epoll_of(epoll_fd);
    return epoll ? vt_result(control(epoll, operation, fd, event)) : -1;
}

int epoll_wait(int epoll_fd, struct epoll_event *events, int max, int milliseconds)
{
    struct epoll *epoll = epoll_of(epoll_fd);
    if (!epoll)
        return -1;
    if (max <= 0)
        return vt_result(EINVAL);
    int64_t deadline = milliseconds < 0    ? VT_FOREVER
                       : milliseconds == 0 ? NOW
                                           : (int64_t)vt_now(VT_MONOTONIC) + milliseconds * INT64_C(1000000);
    vt_file_keep(&epoll->base);
    int count = wait_until(epoll, events, max, deadline);
    vt_file_drop(&epoll->base);
    return count;
}
