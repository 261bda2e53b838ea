/* How linear memory grows, and who may ask for some. */
#include "vt.h"
#include "wasi.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE ((size_t)65536)
/* memory.grow is a call of the host, and of the kernel: libc's malloc would ask for each page. Pages
 * that nobody has touched cost nothing, so ask for more, the more there is already. */
#define SMALLEST_STEP ((size_t)1 << 20)
#define LARGEST_STEP ((size_t)64 << 20)

/* Memory up to here is in use, and up to there is ours. */
static uintptr_t break_now, break_end;

/* In 64 bits: 4 GiB is not a number in 32. */
static uint64_t memory_size(void) { return (uint64_t)__builtin_wasm_memory_size(0) * PAGE; }

static bool grow(size_t bytes)
{
    size_t pages = (bytes + PAGE - 1) / PAGE;
    size_t before = __builtin_wasm_memory_grow(0, pages);
    if (before == (size_t)-1)
        return false;
    uint64_t start = (uint64_t)before * PAGE, end = start + (uint64_t)pages * PAGE;
    /* The very last page stays unused, or its end would be address 0. */
    if (end > UINT32_MAX)
        end = UINT32_MAX - PAGE + 1;
    /* The adapter of WASI grows the memory, too: what it took lies in between. */
    if (start != break_end)
        break_now = (uintptr_t)start;
    break_end = (uintptr_t)end;
    return true;
}

static size_t step(void)
{
    uint64_t eighth = memory_size() / 8;
    if (eighth < SMALLEST_STEP)
        return SMALLEST_STEP;
    return eighth < LARGEST_STEP ? (size_t)eighth : LARGEST_STEP;
}

static size_t left(void) { return break_end - break_now; }

/* Instead of wasi-libc's, for its malloc, which wants whole pages, gives none back and does not mind
 * a gap. */
void *sbrk(intptr_t increment)
{
    if (break_now == 0)
        break_now = break_end = (uintptr_t)memory_size();
    if (increment < 0 || (size_t)increment % PAGE != 0)
        abort();
    size_t bytes = (size_t)increment;
    if (bytes > left() && (bytes >= step() || !grow(step())))
        grow(bytes - left());
    /* After a gap, what is there may be too little once more. */
    if (bytes > left() && !(grow(bytes - left()) && bytes <= left())) {
        errno = ENOMEM;
        return (void *)-1;
    }
    void *start = (void *)break_now;
    break_now += bytes;
    return start;
}

uintptr_t vt_memory_unused(void)
{
    return break_now ? break_now : (uintptr_t)memory_size();
}

struct vt_landing vt_landing;

/* The host's way to put a list into this memory, in the middle of an import, on whatever fiber: it
 * must not park, not run Python and not call the host (tick.s exports it). Beside what lands only the adapter of WASI asks, for its own
 * state and for arguments and environment. */
void *vt_landing_place(void *old, size_t old_size, size_t align, size_t size)
{
    (void)old_size;
    if (vt_landing.bytes && !old && size <= vt_landing.size)
        return vt_landing.bytes;
    void *bytes = old ? realloc(old, size) : aligned_alloc(align < 16 ? 16 : align, size);
    if (!bytes)
        abort();
    return bytes;
}
