/* See ring.h. */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

#define SMALLEST ((size_t)512)
/* An idle pipe keeps no more than this. */
#define KEPT ((size_t)4096)

static size_t minimum(size_t a, size_t b) { return a < b ? a : b; }

static bool make_room(struct vt_ring *ring, size_t size)
{
    size_t capacity = ring->capacity ? ring->capacity : SMALLEST;
    while (capacity < ring->length + size)
        capacity *= 2;
    if (capacity == ring->capacity)
        return true;
    char *bytes = malloc(capacity);
    if (!bytes)
        return false;
    vt_ring_peek(ring, 0, bytes, ring->length);
    free(ring->bytes);
    ring->bytes = bytes;
    ring->capacity = capacity;
    ring->start = 0;
    return true;
}

bool vt_ring_put(struct vt_ring *ring, const void *bytes, size_t size)
{
    if (size == 0)
        return true;
    if (!make_room(ring, size))
        return false;
    size_t end = (ring->start + ring->length) & (ring->capacity - 1);
    size_t first = minimum(size, ring->capacity - end);
    memcpy(ring->bytes + end, bytes, first);
    memcpy(ring->bytes, (const char *)bytes + first, size - first);
    ring->length += size;
    return true;
}

void vt_ring_peek(const struct vt_ring *ring, size_t skip, void *bytes, size_t size)
{
    if (size == 0)
        return;
    size_t from = (ring->start + skip) & (ring->capacity - 1);
    size_t first = minimum(size, ring->capacity - from);
    memcpy(bytes, ring->bytes + from, first);
    memcpy((char *)bytes + first, ring->bytes, size - first);
}

void vt_ring_drop(struct vt_ring *ring, size_t size)
{
    ring->length -= size;
    if (ring->length > 0) {
        ring->start = (ring->start + size) & (ring->capacity - 1);
        return;
    }
    ring->start = 0;
    if (ring->capacity > KEPT) {
        free(ring->bytes);
        ring->bytes = NULL;
        ring->capacity = 0;
    }
}
