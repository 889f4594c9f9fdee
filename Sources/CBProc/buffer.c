// A byte queue.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void bplib_buffer_free(struct bplib_buffer *buffer) {
    free(buffer->bytes);
    *buffer = (struct bplib_buffer){0};
}

int bplib_buffer_reserve(struct bplib_buffer *buffer, size_t byte_count) {
    if (buffer->start == buffer->end) buffer->start = buffer->end = 0;
    if (buffer->capacity - buffer->end >= byte_count) return 0;
    size_t used = buffer->end - buffer->start;
    // Moving pays only where it frees as much as it copies.
    if (buffer->start >= used && buffer->capacity - used >= byte_count) {
        memmove(buffer->bytes, buffer->bytes + buffer->start, used);
    } else {
        if (byte_count > SIZE_MAX / 4 - used) return bplib_fail(ENOMEM, "out of memory");
        size_t capacity = buffer->capacity ? buffer->capacity : 4096;
        while (capacity < used + byte_count) capacity *= 2;
        unsigned char *bytes = malloc(capacity);
        if (!bytes) return bplib_fail(ENOMEM, "out of memory: %zu bytes", capacity);
        if (used) memcpy(bytes, buffer->bytes + buffer->start, used);
        free(buffer->bytes);
        buffer->bytes = bytes;
        buffer->capacity = capacity;
    }
    buffer->start = 0;
    buffer->end = used;
    return 0;
}

void bplib_buffer_append(struct bplib_buffer *buffer, const void *bytes, size_t byte_count) {
    if (byte_count) memcpy(buffer->bytes + buffer->end, bytes, byte_count);
    buffer->end += byte_count;
}
