// Mappings and the private file system that holds image files.
#pragma once
#include <stddef.h>
#include <stdint.h>

/* A tmpfs of our own that is mounted nowhere: answers a descriptor of its root directory. */
long bp_private_tmpfs(int huge_pages, uint64_t byte_limit);
long bp_create_at(int directory, const char *_Nonnull name, unsigned mode);
long bp_unlink_at(int directory, const char *_Nonnull name);
long bp_memfd(const char *_Nonnull name, int allow_sealing);
long bp_seal(int fd);
/* F_SEAL_* that are set, or a negated errno. */
long bp_seals(int fd);
long bp_set_size(int fd, uint64_t byte_count);
long bp_file_size(int fd);
/* Allocates the pages now, so that a full file system is an error and not a SIGBUS later. */
long bp_allocate(int fd, uint64_t byte_count);
/* Shared mapping; NULL on failure with the negated errno in *error. */
void *_Nullable bp_map_shared(int fd, size_t byte_count, int writable, int *_Nonnull error);
long bp_unmap(void *_Nonnull address, size_t byte_count);
long bp_populate_for_writing(void *_Nonnull address, size_t byte_count);
/* Takes and gives back a write lease: 0 if nobody else has the file open or mapped. */
long bp_probe_sole_owner(int fd);
