/* poll_oneoff: what libc's poll, select and pselect are made of. WASI's would stop every fiber. */
#include "vt.h"
#include "wasi.h"

#include <string.h>

static __wasi_event_t event_for(const __wasi_subscription_t *subscription)
{
    return (__wasi_event_t){.userdata = subscription->userdata, .type = subscription->u.tag};
}

/* A clock subscription's time, on the monotonic clock. */
static int64_t deadline_of(const __wasi_subscription_clock_t *clock)
{
    bool absolute = clock->flags & __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME;
    uint64_t now = vt_now(VT_MONOTONIC);
    uint64_t time = clock->timeout;
    if (absolute && clock->id == __WASI_CLOCKID_REALTIME) {
        uint64_t today = vt_now(VT_REALTIME);
        time = time > today ? time - today : 0;
    } else if (absolute) {
        return time > INT64_MAX ? INT64_MAX : (int64_t)time;
    }
    return time > INT64_MAX - now ? INT64_MAX : (int64_t)(now + time);
}

/* Files are always ready; so is what is no descriptor: the call on it says what is wrong. */
static bool is_ready(const __wasi_subscription_t *subscription)
{
    bool write = subscription->u.tag == __WASI_EVENTTYPE_FD_WRITE;
    int stream = vt_stream_of((int32_t)subscription->u.u.fd_read.file_descriptor);
    return stream < 0 || vt_stream_is_ready(stream, write);
}

/* The earliest of the clock subscriptions, and which it is. */
static int64_t first_deadline(const __wasi_subscription_t *in, size_t count,
                              const __wasi_subscription_t **first)
{
    int64_t earliest = VT_FOREVER;
    for (size_t i = 0; i < count; i++) {
        if (in[i].u.tag != __WASI_EVENTTYPE_CLOCK)
            continue;
        int64_t deadline = deadline_of(&in[i].u.u.clock);
        if (earliest == VT_FOREVER || deadline < earliest) {
            earliest = deadline;
            *first = &in[i];
        }
    }
    return earliest;
}

static size_t collect_ready(const __wasi_subscription_t *in, size_t count, __wasi_event_t *out)
{
    size_t ready = 0;
    for (size_t i = 0; i < count; i++)
        if (in[i].u.tag != __WASI_EVENTTYPE_CLOCK && is_ready(&in[i])) {
            out[ready] = event_for(&in[i]);
            out[ready++].fd_readwrite.nbytes = 1; /* libc only asks whether there is anything */
        }
    return ready;
}

VT_INSTEAD_OF_WASI(poll_oneoff)(int32_t in_address, int32_t out_address, int32_t count,
                                int32_t result)
{
    const __wasi_subscription_t *in = (const __wasi_subscription_t *)in_address;
    __wasi_event_t *out = (__wasi_event_t *)out_address;
    size_t *events = (size_t *)result;
    const __wasi_subscription_t *timer = NULL;
    if (count == 0)
        return __WASI_ERRNO_INVAL;
    int64_t deadline = first_deadline(in, (size_t)count, &timer);
    for (;;) {
        *events = collect_ready(in, (size_t)count, out);
        if (*events > 0)
            return 0;
        enum vt_wake wake = vt_park(VT_IO, 0, deadline);
        if (wake == VT_TIMED_OUT) {
            *out = event_for(timer);
            *events = 1;
            return 0;
        }
        if (wake == VT_INTERRUPTED) {
            vt_interrupt();
            return __WASI_ERRNO_INTR;
        }
    }
}
