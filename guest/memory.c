/* How linear memory grows, and who may ask for some. */
#include "vt.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE ((size_t)65536)
/* memory.grow is a call of the host, and of the kernel: libc's malloc would ask for each page. Pages
 * that nobody has touched cost nothing, so ask for more, the more there is already. */
#define SMALLEST_STEP ((size_t)1 << 20)
#define LARGEST_STEP ((size_t)64 << 20)

static uintptr_t break_now, break_end;

/* In 64 bits: 4 GiB is not a number in 32. */
static uint64_t memory_end(void) { return (uint64_t)__builtin_wasm_memory_size(0) * PAGE; }

static bool grow(size_t bytes)
{
    size_t pages = (bytes + PAGE - 1) / PAGE;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1)
        return false;
    /* The very last page stays unused, or its end would be address 0. */
    uint64_t end = memory_end();
    break_end = end > UINT32_MAX ? (uintptr_t)(UINT32_MAX - PAGE + 1) : (uintptr_t)end;
    return true;
}

static size_t step(void)
{
    size_t eighth = (size_t)(memory_end() / 8);
    if (eighth < SMALLEST_STEP)
        return SMALLEST_STEP;
    return eighth < LARGEST_STEP ? eighth : LARGEST_STEP;
}

/* Instead of wasi-libc's, for its malloc, which wants whole pages and never gives any back. */
void *sbrk(intptr_t increment)
{
    if (break_now == 0)
        break_now = break_end = (uintptr_t)memory_end();
    if (increment < 0 || (size_t)increment % PAGE != 0)
        abort();
    size_t bytes = (size_t)increment;
    if (bytes > break_end - break_now) {
        size_t missing = bytes - (break_end - break_now);
        size_t more = step();
        if ((missing >= more || !grow(more)) && !grow(missing))
            goto refused;
        if (bytes > break_end - break_now)
            goto refused;
    }
    void *start = (void *)break_now;
    break_now += bytes;
    return start;
refused:
    errno = ENOMEM;
    return (void *)-1;
}

/* stdio.c */
extern struct vt_landing {
    void *bytes;
    size_t size;
} vt_landing;

/* The host's way to put a list into this memory, in the middle of an import, on whatever fiber: it
 * must not park and not run Python. Beside stdio.read only the adapter of WASI asks, for its own
 * state and for arguments and environment. */
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size,
                                                                size_t align, size_t size)
{
    (void)old_size;
    if (vt_landing.bytes && !old && size <= vt_landing.size)
        return vt_landing.bytes;
    void *bytes = old ? realloc(old, size) : aligned_alloc(align < 16 ? 16 : align, size);
    if (!bytes)
        abort();
    return bytes;
}
