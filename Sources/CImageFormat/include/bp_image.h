// The process image, as bytes. Sources/ProcessImage/FORMAT.md explains every field; this header is
// the one definition that the restore code (freestanding C) and the Swift reader and writer share.
// All numbers are little endian, all offsets count from the first byte of the file.
#pragma once
#include <stdint.h>

#define BP_IMAGE_MAGIC 0x474d49434f525042ull /* "BPROCIMG" */
#define BP_IMAGE_VERSION 1u
#define BP_IMAGE_ARCHITECTURE_X86_64 4u
#define BP_IMAGE_HEADER_OFFSET 256u /* behind the ELF header and its program headers */
#define BP_IMAGE_PAGE 4096u
#define BP_IMAGE_CHECKSUM_BLOCK 16384u
#define BP_IMAGE_PREFIX_MAX (64u << 20)
#define BP_IMAGE_TOTAL_MAX (1ull << 40)
#define BP_IMAGE_REGIONS_MAX 65530u
#define BP_IMAGE_RUNS_MAX 65530u
#define BP_IMAGE_FILES_MAX 8u
#define BP_IMAGE_SLOTS_MAX 64u
#define BP_IMAGE_SIGNALS_MAX 64u
#define BP_IMAGE_AUXV_MAX 64u
#define BP_IMAGE_SCRATCH 65536u
#define BP_IMAGE_FRAME 960u
#define BP_IMAGE_FRAME_FLOAT_OFFSET 448u
#define BP_IMAGE_SOCKET_CAPACITY 107u
#define BP_IMAGE_PLACE_BYTES 144u /* sizeof(struct bproc_local_place) */
#define BP_IMAGE_LOWEST_ADDRESS 0x10000ull
#define BP_IMAGE_USER_END 0x7ffffffff000ull
#define BP_IMAGE_FEATURE_WORDS 8

// The restorer's own file is linked here; an image must not want its stub at the same place.
#define BP_RESTORER_ADDRESS 0x7000000000ull
#define BP_RESTORER_RANGE 0x10000ull

struct bp_image_table {
    uint64_t offset;
    uint32_t count;
    uint32_t element_byte_count;
};

enum bp_image_register_origin {
    BP_IMAGE_ORIGIN_STOPPED = 0, /* a program stopped by the capture */
    BP_IMAGE_ORIGIN_WAITING = 1, /* a caller that waits and left a register record */
};

enum bp_image_flags {
    BP_IMAGE_STARTED = 1, /* the program's own code or its dynamic linker has run */
};

struct bp_image_header {
    uint64_t magic;
    uint32_t version;
    uint32_t architecture;
    uint64_t prefix_byte_count; /* header, stub and tables: streamed first */
    uint64_t total_byte_count;
    uint64_t prefix_hash; /* XXH3-64 of the prefix with this field zero */
    uint32_t checksum_block_byte_count;
    uint32_t flags;
    uint64_t base_address;       /* where the file's first byte lies when the stub runs */
    uint64_t code_byte_count;    /* ELF header page and stub: readable and executable */
    uint64_t scratch_byte_count; /* zero memory behind the prefix: the stub's stack */
    uint32_t stub_entry;         /* offset of the entry that the restorer jumps to */
    uint32_t register_origin;
    /* Memory map fields of the kernel (prctl PR_SET_MM_MAP), in the kernel's order. */
    uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
    uint64_t argument_start, argument_end, environment_start, environment_end;
    /* Kernel-side state of the one thread. */
    uint64_t fs_base, gs_base;
    uint64_t thread_id_address;
    uint64_t robust_list_address, robust_list_byte_count;
    uint64_t rseq_address;
    uint32_t rseq_byte_count, rseq_signature;
    uint32_t thread_id; /* the old one, to recognise cached copies */
    uint32_t reserved;
    uint64_t frame_address; /* where the signal frame is put */
    uint64_t stack_address; /* where the stack content goes */
    uint64_t vdso_address, vdso_byte_count;
    uint64_t vvar_address, vvar_byte_count; /* everything that the kernel maps before the vDSO */
    uint32_t features[BP_IMAGE_FEATURE_WORDS]; /* CPU features that the image needs */
    uint64_t xsave_components;                 /* XCR0 of the source, for people */
    char name[16];
    struct bp_image_table regions, runs, frame, auxv, signals, stack, vdso, files, slots, checksums;
};

enum bp_image_region_kind {
    BP_IMAGE_REGION_MEMORY = 0,
    BP_IMAGE_REGION_STACK = 1, /* anonymous, grows down; its content is the stack table */
};

enum bp_image_region_flags {
    BP_IMAGE_REGION_NORESERVE = 1,
    BP_IMAGE_REGION_WAS_SHARED = 2, /* a read-only shared mapping, now a private copy */
};

enum bp_image_region_bytes {
    BP_IMAGE_BYTES_INLINE = 0,
    BP_IMAGE_BYTES_BY_REFERENCE = 1, /* reserved: found on the node by the region's hash */
};

struct bp_image_region {
    uint64_t address, byte_count;
    uint64_t hash; /* XXH3-64 over the bytes of its runs, in order; 0: none, or not taken */
    uint32_t protection;
    uint32_t flags;
    uint32_t kind;
    uint32_t bytes;
    uint32_t first_run, run_count;
};

struct bp_image_run {
    uint64_t address, byte_count, file_offset;
};

struct bp_image_signal {
    uint64_t handler, flags, restorer, mask;
    uint32_t number;
    uint32_t reserved;
};

struct bp_image_file {
    uint64_t offset, byte_count; /* inside the prefix */
    uint32_t descriptor;
    uint32_t name_byte_count; /* of the name behind those bytes, without its NUL; 0: no name */
};

enum bp_image_slot_kind {
    BP_IMAGE_SLOT_RANK = 1,   /* seven X in the stack: the rank, %07u */
    BP_IMAGE_SLOT_SOCKET = 2, /* the daemon's socket path, or nothing */
    BP_IMAGE_SLOT_RANDOM = 3, /* AT_RANDOM of a program that has not run: fresh bytes */
    BP_IMAGE_SLOT_PLACE = 4,  /* a bproc_local_place in the memory of a caller that waited */
    BP_IMAGE_SLOT_NAME = 5,   /* "/NAME" behind an embedded file's descriptor in the arguments */
};

struct bp_image_slot {
    uint64_t address;
    uint32_t kind;
    uint32_t byte_count;
};

#define BP_RECORD_MAGIC 0x31525042u /* "BPR1" */

// What the restored process says about itself on the status descriptor, once, in one write.
struct bp_restore_record {
    uint32_t magic;
    uint32_t rank;
    uint16_t stage; /* bproc_local_stage; 0: placed, about to enter the program */
    uint16_t step;  /* bp_restore_step */
    int32_t error;
    uint64_t monotonic_nanoseconds;
    uint64_t detail; /* the address or descriptor that the step was about */
};

// A process that is not restored ends with status 100 + step: below 128, where shells tell of
// signals.
enum bp_restore_step {
    BP_STEP_PLACED = 0,
    BP_STEP_ARGUMENTS = 1,
    BP_STEP_CREDENTIALS = 2,
    BP_STEP_READ_HEADER = 3,
    BP_STEP_CHECK_HEADER = 4,
    BP_STEP_SIZE = 5,
    BP_STEP_MAP_STUB = 6,
    BP_STEP_OPEN_ITEM = 7,
    BP_STEP_SOCKET_ITEM = 8,
    BP_STEP_MOVE_DESCRIPTOR = 9,
    BP_STEP_CPU = 10,
    BP_STEP_EMBEDDED_FILE = 11,
    BP_STEP_SCRIPT_NEEDS_PROC = 12,
    BP_STEP_UNMAP = 13,
    BP_STEP_VDSO = 14,
    BP_STEP_MAP_REGION = 15,
    BP_STEP_MAP_RUN = 16,
    BP_STEP_MEMORY_MAP = 17,
    BP_STEP_THREAD_STATE = 18,
    BP_STEP_SIGNALS = 19,
    BP_STEP_PRIORITY = 20,
    BP_STEP_IMAGE_FILE = 21,
    /* Only where nobody has checked the file before it runs: ./image. */
    BP_STEP_PREFIX_CHECKSUM = 22,
    BP_STEP_DATA_CHECKSUM = 23,
    BP_STEP_MAP_DATA = 24,
    BP_STEP_VERSION = 25,
    BP_STEP_SET_ID = 26,
    /* In the daemon's child, before the restorer: never an exit status. */
    BP_STEP_WORKING_DIRECTORY = 27,
    BP_STEP_LIMITS = 28,
    BP_STEP_SESSION = 29,
    BP_STEP_DESCRIPTORS = 30,
    BP_STEP_CLONE = 31,
    BP_STEP_EXECUTE = 32,
    BP_STEP_COUNT = 33, /* one behind the last */
};
