/* Shadow stacks: the part of the C stack that lies in linear memory, since wasm code can only take
 * the address of what is there. (The other part, the fiber's native stack, belongs to the host; how
 * deep that lets C code go is VTWASM_C_RECURSION_LIMIT.)
 *
 * A thread's base segment is small, so that 100,000 of them fit. Code that needs more goes on in an
 * extension. Only the stack pointer is moved: each function addresses its frame from a local and
 * puts the pointer back from there, so callers notice nothing. It happens in two ways:
 *  - a recursion check finds less than VTWASM_STACK_RESERVE left in the base (vtwasm_stack_grow);
 *    the extension is empty again as soon as the pointer is back in the base;
 *  - code that needs much and will not ask is called with VTWASM_WITH_STACK.
 *
 * The guard: the lowest words of every segment stay 0. They are checked when the segment is given
 * back, so memory that is zero when it is new need not be touched for it.
 *
 * Behind each pooled segment lies its annex, for CPython's frames (python.c). It begins in the page
 * of the segment's top: a thread that sleeps has touched one page for both. */
#include "vt.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vtwasm_force.h"

#define PAGE ((size_t)4096)
#define GUARD_WORDS 16
#define SLAB_SEGMENTS 8
/* How much of the page that a thread and its annex share is the annex's: a thread that starts and
 * goes to sleep takes some 400 bytes of it and 3,250 of the rest. */
#define ANNEX_SHARE ((size_t)640)

/* The run ends with 134, as after abort(): 128 + SIGABRT. */
#define EXIT_STACK_OVERFLOW 134

struct vtwasm_stack_ends vtwasm_stack_ends;

/* wasm-ld's bounds of the main stack. */
extern char __stack_low[], __stack_high[];

/* At the top of its segment. */
struct vt_extension {
    struct vt_extension *next; /* the one that the thread had before; or in the free list */
    uintptr_t bottom;
    uintptr_t caller;          /* the stack pointer to go back to */
    unsigned size_class;
};

/* For recursion, and for the passes of the compiler, whose frames are large. Pages that are never
 * touched cost address space only. */
static const size_t extension_sizes[] = {(size_t)1 << 20, (size_t)4 << 20};
#define SIZE_CLASSES (sizeof extension_sizes / sizeof extension_sizes[0])

/* Last in, first out: the stack given back last is the one in the cache. */
static vt_thread *free_threads;
static struct vt_extension *free_extensions[SIZE_CLASSES];

/* --- the guard --- */

_Noreturn static void overflow(void)
{
    static const char message[] =
        "vtwasm: a thread's stack overflowed in C code that does not check its depth\n"
        "hint: give the thread more with threading.stack_size()\n";
    write(STDERR_FILENO, message, sizeof message - 1);
    vt_exit_process(EXIT_STACK_OVERFLOW);
}

static void set_guard(uintptr_t bottom)
{
    uint32_t *word = (uint32_t *)bottom;
    for (int i = 0; i < GUARD_WORDS; i++)
        if (word[i] != 0)
            word[i] = 0;
}

static void check_guard(uintptr_t bottom)
{
    const volatile uint32_t *word = (const uint32_t *)bottom;
    uint32_t seen = 0;
    for (int i = 0; i < GUARD_WORDS; i++)
        seen |= word[i];
    if (seen)
        overflow();
}

/* --- base segments, each with its thread on top --- */

static bool in_base(const vt_thread *thread, uintptr_t sp)
{
    return sp - thread->stack.bottom <= thread->stack.top - thread->stack.bottom;
}

static vt_thread *thread_below(uintptr_t top)
{
    return (vt_thread *)((top - sizeof(vt_thread)) & ~(uintptr_t)15);
}

static vt_thread *thread_on(uintptr_t bottom, size_t size)
{
    vt_thread *thread = thread_below(bottom + size);
    thread->stack = (struct vt_segment){bottom, (uintptr_t)thread};
    return thread;
}

static void put_in_pool(vt_thread *thread)
{
    thread->next = free_threads;
    free_threads = thread;
}

static bool refill_pool(void)
{
    const size_t stride = VT_STACK_SIZE + VT_ANNEX_SIZE;
    uintptr_t zero = vt_memory_unused();
    char *slab = aligned_alloc(PAGE, PAGE + SLAB_SEGMENTS * stride);
    if (!slab)
        return false;
    uintptr_t first = (uintptr_t)slab + PAGE - ANNEX_SHARE;
    for (int i = SLAB_SEGMENTS - 1; i >= 0; i--) {
        uintptr_t bottom = first + (size_t)i * stride;
        if (bottom < zero)
            set_guard(bottom);
        put_in_pool(thread_on(bottom, VT_STACK_SIZE));
    }
    return true;
}

static vt_thread *allocate_large(size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + PAGE - 1) & ~(PAGE - 1);
    char *bottom = aligned_alloc(PAGE, size);
    if (!bottom)
        return NULL;
    set_guard((uintptr_t)bottom);
    return thread_on((uintptr_t)bottom, size);
}

vt_thread *vt_stack_allocate(size_t size)
{
    bool pooled = size <= VT_STACK_SIZE;
    vt_thread *thread;
    if (!pooled) {
        thread = allocate_large(size);
        if (!thread)
            return NULL;
    } else {
        if (!free_threads && !refill_pool())
            return NULL;
        thread = free_threads;
        free_threads = thread->next;
    }
    struct vt_segment stack = thread->stack;
    memset(thread, 0, sizeof *thread);
    thread->stack = stack;
    thread->has_annex = pooled;
    return thread;
}

void vt_stack_release(vt_thread *thread)
{
    check_guard(thread->stack.bottom);
    vt_stack_leave(thread, thread->stack.top);
    if (!thread->has_annex)
        free((void *)thread->stack.bottom);
    else if (thread->annex_used)
        thread->released = true;
    else
        put_in_pool(thread);
}

void vt_stack_adopt_main(vt_thread *thread)
{
    thread->stack = (struct vt_segment){(uintptr_t)__stack_low, (uintptr_t)__stack_high};
}

/* --- annexes --- */

static uintptr_t annex_of(const vt_thread *thread)
{
    return thread->stack.bottom + VT_STACK_SIZE;
}

void *vt_annex_take(void)
{
    vt_thread *self = vt_self;
    if (!self->has_annex || self->annex_used)
        return NULL;
    self->annex_used = true;
    return (void *)annex_of(self);
}

bool vt_annex_give_back(void *address)
{
    /* Nothing that malloc aligned to a page lies there. */
    if ((uintptr_t)address % PAGE != PAGE - ANNEX_SHARE)
        return false;
    vt_thread *thread = thread_below((uintptr_t)address);
    thread->annex_used = false;
    if (thread->released)
        put_in_pool(thread);
    return true;
}

/* --- extensions --- */

static struct vt_extension *make_extension(unsigned size_class)
{
    size_t size = extension_sizes[size_class];
    char *bottom = aligned_alloc(PAGE, size);
    if (!bottom)
        return NULL;
    struct vt_extension *extension = (struct vt_extension *)(bottom + size) - 1;
    *extension = (struct vt_extension){.bottom = (uintptr_t)bottom, .size_class = size_class};
    set_guard(extension->bottom);
    return extension;
}

static struct vt_extension *take_extension(vt_thread *thread, size_t wanted, uintptr_t caller)
{
    unsigned size_class = 0;
    while (size_class < SIZE_CLASSES - 1 && extension_sizes[size_class] < wanted)
        size_class++;
    struct vt_extension *extension = free_extensions[size_class];
    if (extension)
        free_extensions[size_class] = extension->next;
    else if (!(extension = make_extension(size_class)))
        return NULL;
    extension->caller = caller;
    extension->next = thread->extension;
    thread->extension = extension;
    vt_stack_enter(thread);
    return extension;
}

static void give_extension_back(vt_thread *thread)
{
    struct vt_extension *extension = thread->extension;
    check_guard(extension->bottom);
    thread->extension = extension->next;
    extension->next = free_extensions[extension->size_class];
    free_extensions[extension->size_class] = extension;
}

void vt_stack_enter(const vt_thread *thread)
{
    uintptr_t base = thread->stack.bottom;
    vtwasm_stack_ends.base = base;
    vtwasm_stack_ends.extension = thread->extension ? thread->extension->bottom : base;
}

void vt_stack_leave(vt_thread *thread, uintptr_t sp)
{
    struct vt_extension *extension = thread->extension;
    if (in_base(thread, sp)) {
        while (thread->extension)
            give_extension_back(thread);
    } else if (!extension || sp - extension->bottom > (uintptr_t)extension - extension->bottom) {
        overflow();
    }
}

size_t vt_stack_room(uintptr_t sp)
{
    return in_base(vt_self, sp) ? sp - vt_self->stack.bottom : sp - vt_self->extension->bottom;
}

/* --- what stack.s asks: where to go on --- */

/* vtwasm_stack_grow: 0 if there is no room left. */
uintptr_t vt_stack_move(uintptr_t sp)
{
    vt_thread *self = vt_self;
    if (vt_stack_room(sp) >= VTWASM_STACK_RESERVE)
        return sp;
    if (!in_base(self, sp))
        return 0;
    if (!self->extension && !take_extension(self, 0, sp))
        return 0;
    return (uintptr_t)self->extension & ~(uintptr_t)15;
}

/* vtwasm_stack_extend: null if the caller may stay where it is, or has to for want of memory. */
struct vt_extension *vt_stack_extend(uintptr_t sp, size_t wanted)
{
    return vt_stack_room(sp) >= wanted ? NULL : take_extension(vt_self, wanted, sp);
}

/* vtwasm_stack_shrink: returns the stack pointer to go back to. */
uintptr_t vt_stack_shrink(struct vt_extension *extension)
{
    uintptr_t caller = extension->caller;
    give_extension_back(vt_self);
    vt_stack_enter(vt_self);
    return caller;
}
