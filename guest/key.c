/* Thread-specific data. */
#include "vt.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define INLINE_SLOTS (sizeof vt_self->slots / sizeof vt_self->slots[0])

static struct key {
    /* Odd while the key exists. A new key's number may have been in use before: what threads still
     * hold from then belongs to an older generation and reads as null. */
    uint32_t generation;
    void (*destructor)(void *);
} keys[PTHREAD_KEYS_MAX];

static bool exists(pthread_key_t key)
{
    return key < PTHREAD_KEYS_MAX && keys[key].generation % 2 == 1;
}

int pthread_key_create(pthread_key_t *out, void (*destructor)(void *))
{
    for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX; key++) {
        if (exists(key))
            continue;
        keys[key].generation++;
        keys[key].destructor = destructor;
        *out = key;
        return 0;
    }
    return EAGAIN;
}

int pthread_key_delete(pthread_key_t key)
{
    if (!exists(key))
        return EINVAL;
    keys[key].generation++;
    return 0;
}

static struct vt_slot *slot_of(vt_thread *thread, pthread_key_t key)
{
    if (key < INLINE_SLOTS)
        return &thread->slots[key];
    return thread->more_slots ? &thread->more_slots[key - INLINE_SLOTS] : NULL;
}

void *pthread_getspecific(pthread_key_t key)
{
    if (!exists(key))
        return NULL;
    struct vt_slot *slot = slot_of(vt_self, key);
    return slot && slot->generation == keys[key].generation ? slot->value : NULL;
}

int pthread_setspecific(pthread_key_t key, const void *value)
{
    if (!exists(key))
        return EINVAL;
    struct vt_slot *slot = slot_of(vt_self, key);
    if (!slot) {
        vt_self->more_slots = calloc(PTHREAD_KEYS_MAX - INLINE_SLOTS, sizeof *slot);
        if (!vt_self->more_slots)
            return ENOMEM;
        slot = slot_of(vt_self, key);
    }
    slot->value = (void *)value;
    slot->generation = keys[key].generation;
    return 0;
}

/* One round over all keys; whether any destructor ran, which may have set values again. */
static bool run_destructors(vt_thread *thread)
{
    bool ran = false;
    pthread_key_t end = thread->more_slots ? PTHREAD_KEYS_MAX : INLINE_SLOTS;
    for (pthread_key_t key = 0; key < end; key++) {
        struct vt_slot *slot = slot_of(thread, key);
        void *value = slot->value;
        void (*destructor)(void *) = keys[key].destructor;
        if (!value || !exists(key) || slot->generation != keys[key].generation || !destructor)
            continue;
        slot->value = NULL; /* POSIX: before the destructor is called */
        destructor(value);
        ran = true;
    }
    return ran;
}

void vt_keys_destroy(vt_thread *thread)
{
    for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS && run_destructors(thread); round++)
        ;
    free(thread->more_slots);
    thread->more_slots = NULL;
}
