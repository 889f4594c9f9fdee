// Descriptors over a socket, which Swift cannot spell.
#pragma once
#include <stddef.h>

// Sends bytes with a descriptor (-1: none). The bytes sent, or a negated errno.
long test_send(int socket, const void *_Nullable bytes, size_t byte_count, int descriptor);
// Receives bytes and at most one descriptor (-1: none came). The bytes, 0 at the end, or a negated
// errno.
long test_receive(int socket, void *_Nonnull bytes, size_t byte_count, int *_Nonnull descriptor);
