/* Clocks and sleeping. */
#include "vt.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>
#include <wasi/api.h>

#define SECOND 1000000000

static bool is_valid(const struct timespec *at)
{
    return at->tv_nsec >= 0 && at->tv_nsec < SECOND;
}

/* What does not fit is further away than this program will run. */
static int64_t nanoseconds(const struct timespec *at)
{
    int64_t result;
    if (__builtin_mul_overflow((int64_t)at->tv_sec, (int64_t)SECOND, &result)
        || __builtin_add_overflow(result, (int64_t)at->tv_nsec, &result))
        return at->tv_sec < 0 ? 0 : INT64_MAX;
    return result;
}

static struct timespec timespec_of(uint64_t nanoseconds)
{
    uint64_t seconds = nanoseconds / SECOND;
    return (struct timespec){
        .tv_sec = (time_t)seconds,
        .tv_nsec = (long)(nanoseconds - seconds * SECOND),
    };
}

static int64_t from_now(int64_t duration)
{
    int64_t deadline;
    if (duration < 0)
        duration = 0;
    if (__builtin_add_overflow((int64_t)vt_now(VT_MONOTONIC), duration, &deadline))
        return INT64_MAX;
    return deadline;
}

int vt_deadline(clockid_t clock, const struct timespec *at, int64_t *deadline)
{
    if (!is_valid(at))
        return EINVAL;
    int64_t time = nanoseconds(at);
    if (clock == CLOCK_MONOTONIC)
        *deadline = time < 0 ? 0 : time;
    else if (clock == CLOCK_REALTIME)
        *deadline = from_now(time - (int64_t)vt_now(VT_REALTIME));
    else
        return EINVAL;
    return 0;
}

/* --- reading clocks --- */

int clock_gettime(clockid_t clock, struct timespec *out)
{
    if (clock == CLOCK_MONOTONIC) {
        *out = timespec_of(vt_now(VT_MONOTONIC));
    } else if (clock == CLOCK_REALTIME) {
        *out = timespec_of(vt_now(VT_REALTIME));
    } else {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

int clock_getres(clockid_t clock, struct timespec *out)
{
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) {
        errno = EINVAL;
        return -1;
    }
    if (out)
        *out = (struct timespec){.tv_nsec = 1};
    return 0;
}

/* libwasi-emulated-process-clocks would count the time that passes; CPython's process_time asks
 * here, since WASI's libc has no CLOCK_PROCESS_CPUTIME_ID. */
clock_t clock(void)
{
    return (clock_t)(vt_cpu_time() / (SECOND / CLOCKS_PER_SEC));
}

/* The rest of libc (time, gettimeofday, timespec_get) comes by here. */
int32_t __imported_wasi_snapshot_preview1_clock_time_get(int32_t clock, int64_t precision,
                                                         int32_t result)
{
    (void)precision;
    uint64_t *out = (uint64_t *)result;
    switch (clock) {
    case __WASI_CLOCKID_REALTIME:
        *out = vt_now(VT_REALTIME);
        return 0;
    case __WASI_CLOCKID_MONOTONIC:
        *out = vt_now(VT_MONOTONIC);
        return 0;
    case __WASI_CLOCKID_PROCESS_CPUTIME_ID:
        *out = vt_cpu_time();
        return 0;
    default:
        return __WASI_ERRNO_INVAL;
    }
}

/* --- sleeping --- */

/* 0, or EINTR. */
static int sleep_until(int64_t deadline)
{
    for (;;) {
        enum vt_wake wake = vt_park(VT_SLEEP, 0, deadline);
        if (wake == VT_TIMED_OUT)
            return 0;
        if (wake == VT_INTERRUPTED) {
            vt_interrupt();
            return EINTR;
        }
    }
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
                    struct timespec *remaining)
{
    if (!is_valid(request))
        return EINVAL;
    if (flags & TIMER_ABSTIME) {
        int64_t deadline;
        int error = vt_deadline(clock, request, &deadline);
        return error ? error : sleep_until(deadline);
    }
    if (request->tv_sec < 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME))
        return EINVAL;
    int64_t deadline = from_now(nanoseconds(request));
    int result = sleep_until(deadline);
    if (result == EINTR && remaining) {
        int64_t left = deadline - (int64_t)vt_now(VT_MONOTONIC);
        *remaining = timespec_of(left > 0 ? (uint64_t)left : 0);
    }
    return result;
}

int nanosleep(const struct timespec *request, struct timespec *remaining)
{
    int error = clock_nanosleep(CLOCK_MONOTONIC, 0, request, remaining);
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

int usleep(useconds_t microseconds)
{
    struct timespec request = timespec_of((uint64_t)microseconds * 1000);
    return nanosleep(&request, NULL);
}

unsigned sleep(unsigned seconds)
{
    struct timespec request = {.tv_sec = seconds}, remaining;
    return nanosleep(&request, &remaining) == 0 ? 0 : (unsigned)remaining.tv_sec + 1;
}

int sched_yield(void)
{
    if (vt_park(VT_YIELD, 0, VT_FOREVER) == VT_INTERRUPTED)
        vt_interrupt();
    return 0;
}
