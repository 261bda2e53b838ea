/* Bytes on their way from one descriptor to another: a queue that takes memory as it needs it. */
#ifndef VT_RING_H
#define VT_RING_H

#include <stdbool.h>
#include <stddef.h>

struct vt_ring {
    char *bytes;
    size_t capacity; /* of `bytes`: 0 or a power of two */
    size_t start, length;
    size_t limit; /* of length: a power of two */
};

static inline size_t vt_ring_room(const struct vt_ring *ring)
{
    return ring->length < ring->limit ? ring->limit - ring->length : 0;
}

/* All of them, or none: false if there is no memory. The caller has seen that there is room. */
bool vt_ring_put(struct vt_ring *ring, const void *bytes, size_t size);
/* Copies bytes that are there, `skip` bytes from the first. */
void vt_ring_peek(const struct vt_ring *ring, size_t skip, void *bytes, size_t size);
/* Takes the first bytes away. */
void vt_ring_drop(struct vt_ring *ring, size_t size);

#endif
