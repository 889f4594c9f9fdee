// The program that writes one block of a copy on a node: it travels down the relay tree with the
// block's bytes in its memory, writes them into files that are there already, and exits with the
// first error number, or 0. Freestanding code, copied out of the executable.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Where the program lies in memory: its code behind one page of header, and the block.
#define BP_BLOCK_CODE_ADDRESS 0x400000ull
#define BP_BLOCK_DATA_ADDRESS 0x10000000ull

// The block begins with this, then the extents, names with their NULs, and the bytes. Places are
// counted from the beginning of the block.
struct bp_block {
    uint64_t extent_count;
};

struct bp_block_extent {
    uint64_t place;
    uint64_t byte_count;
    uint64_t file_offset;
    uint32_t path_place;
    uint32_t other_path_place; // tried where the first does not exist
};

struct bp_block_code {
    const unsigned char *_Nonnull bytes;
    size_t byte_count;
    size_t entry;
};
struct bp_block_code bp_block_code(void);
