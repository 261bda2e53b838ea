/* Shadow stacks: the part of the C stack that lies in linear memory, since wasm code can only take
 * the address of what is there. (The other part, the fiber's native stack, belongs to the host; how
 * deep that lets C code go is Py_C_RECURSION_LIMIT, in guest/patches/.)
 *
 * A thread's base segment is small, so that 100,000 of them fit. When a recursion check finds less
 * than VTWASM_STACK_RESERVE left there, the thread goes on in an extension: only the stack pointer
 * is moved, and since each function puts back its own, the extension is empty again as soon as the
 * pointer is back in the base. When that runs low as well, it is a RecursionError.
 *
 * The guard: the lowest words of every segment stay 0. Zero, because a page that is only read costs
 * no memory. */
#include "vt.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vtwasm_force.h"

#define PAGE ((size_t)4096)
#define GUARD_WORDS 16
#define SLAB_SEGMENTS 16
#define EXTENSION_SIZE ((size_t)1 << 20)

/* The run ends with 134, as after abort(): 128 + SIGABRT. */
#define EXIT_STACK_OVERFLOW 134

struct vtwasm_stack_ends vtwasm_stack_ends;

/* wasm-ld's bounds of the main stack. */
extern char __stack_low[], __stack_high[];

/* Last in, first out: the stack given back last is the one in the cache. */
static vt_thread *free_threads;
static uintptr_t *free_extensions; /* each top word points to the next */

static bool contains(struct vt_segment segment, uintptr_t sp)
{
    return sp - segment.bottom <= segment.top - segment.bottom;
}

_Noreturn static void overflow(void)
{
    static const char message[] =
        "vtwasm: a thread's stack overflowed in C code that does not check its depth\n"
        "hint: give the thread more with threading.stack_size()\n";
    write(STDERR_FILENO, message, sizeof message - 1);
    vt_exit_process(EXIT_STACK_OVERFLOW);
}

static void set_guard(struct vt_segment segment)
{
    uint32_t *word = (uint32_t *)segment.bottom;
    for (int i = 0; i < GUARD_WORDS; i++)
        if (word[i] != 0)
            word[i] = 0;
}

static void check_guard(struct vt_segment segment)
{
    const volatile uint32_t *word = (const uint32_t *)segment.bottom;
    uint32_t seen = 0;
    for (int i = 0; i < GUARD_WORDS; i++)
        seen |= word[i];
    if (seen)
        overflow();
}

/* --- base segments, each with its thread on top --- */

static vt_thread *thread_on(uintptr_t bottom, size_t size)
{
    vt_thread *thread = (vt_thread *)((bottom + size - sizeof(vt_thread)) & ~(uintptr_t)15);
    thread->stack = (struct vt_segment){bottom, (uintptr_t)thread};
    return thread;
}

static bool refill_pool(void)
{
    char *slab = aligned_alloc(PAGE, SLAB_SEGMENTS * VT_STACK_SIZE);
    if (!slab)
        return false;
    for (int i = SLAB_SEGMENTS - 1; i >= 0; i--) {
        vt_thread *thread = thread_on((uintptr_t)slab + (size_t)i * VT_STACK_SIZE, VT_STACK_SIZE);
        thread->next = free_threads;
        free_threads = thread;
    }
    return true;
}

static vt_thread *allocate_large(size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + PAGE - 1) & ~(PAGE - 1);
    char *bottom = aligned_alloc(PAGE, size);
    return bottom ? thread_on((uintptr_t)bottom, size) : NULL;
}

vt_thread *vt_stack_allocate(size_t size)
{
    vt_thread *thread;
    if (size > VT_STACK_SIZE) {
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
    set_guard(stack);
    return thread;
}

void vt_stack_release(vt_thread *thread)
{
    check_guard(thread->stack);
    vt_stack_leave(thread, thread->stack.top);
    bool pooled = thread->stack.top - thread->stack.bottom < VT_STACK_SIZE;
    if (!pooled) {
        free((void *)thread->stack.bottom);
    } else {
        thread->next = free_threads;
        free_threads = thread;
    }
}

void vt_stack_adopt_main(vt_thread *thread)
{
    thread->stack = (struct vt_segment){(uintptr_t)__stack_low, (uintptr_t)__stack_high};
}

/* --- extensions --- */

static struct vt_segment extension_at(uintptr_t *top_word)
{
    uintptr_t top = (uintptr_t)top_word;
    return (struct vt_segment){top + sizeof *top_word - EXTENSION_SIZE, top & ~(uintptr_t)15};
}

static bool take_extension(vt_thread *thread)
{
    uintptr_t *top_word = free_extensions;
    if (top_word) {
        free_extensions = (uintptr_t *)*top_word;
    } else {
        char *bottom = aligned_alloc(PAGE, EXTENSION_SIZE);
        if (!bottom)
            return false;
        top_word = (uintptr_t *)(bottom + EXTENSION_SIZE) - 1;
        set_guard(extension_at(top_word));
    }
    thread->extension = extension_at(top_word);
    return true;
}

static void give_extension_back(vt_thread *thread)
{
    check_guard(thread->extension);
    uintptr_t *top_word = (uintptr_t *)(thread->extension.bottom + EXTENSION_SIZE) - 1;
    *top_word = (uintptr_t)free_extensions;
    free_extensions = top_word;
    thread->extension = (struct vt_segment){0, 0};
}

void vt_stack_enter(const vt_thread *thread)
{
    uintptr_t base = thread->stack.bottom;
    vtwasm_stack_ends.base = base;
    vtwasm_stack_ends.extension = thread->extension.top ? thread->extension.bottom : base;
}

void vt_stack_leave(vt_thread *thread, uintptr_t sp)
{
    bool has_extension = thread->extension.top != 0;
    if (contains(thread->stack, sp)) {
        if (has_extension)
            give_extension_back(thread);
    } else if (!has_extension || !contains(thread->extension, sp)) {
        overflow();
    }
}

/* Where the caller of vtwasm_stack_grow goes on; 0 if there is no room left for it. */
uintptr_t vt_stack_move(uintptr_t sp)
{
    vt_thread *self = vt_self;
    if (!contains(self->stack, sp))
        return sp - self->extension.bottom < VTWASM_STACK_RESERVE ? 0 : sp;
    if (sp - self->stack.bottom >= VTWASM_STACK_RESERVE)
        return sp;
    if (self->extension.top == 0) {
        if (!take_extension(self))
            return 0;
        vt_stack_enter(self);
    }
    return self->extension.top;
}

uintptr_t vt_stack_with_room(uintptr_t sp)
{
    vt_thread *self = vt_self;
    if (!contains(self->stack, sp) || sp - self->stack.bottom >= EXTENSION_SIZE / 2)
        return sp;
    if (self->extension.top == 0) {
        if (!take_extension(self))
            return sp;
        vt_stack_enter(self);
    }
    return self->extension.top;
}
