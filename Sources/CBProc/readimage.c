// An image is read from a descriptor, into a memory file of its own, and checked there.
#define _GNU_SOURCE
#include "internal.h"
#include "readimage.h"

#include "bp_cpu.h"
#include "bp_image.h"
#include "bp_xxh3.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNCHANGEABLE = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW };

// An image in memory: the mapping of its file.
struct image {
    int file;
    unsigned char *bytes;
    uint64_t mapped, total;
    struct bp_image_header header;
};

static uint64_t checksum(const unsigned char *bytes, uint64_t byte_count) {
    return bplib_checksum(bytes, bytes, byte_count);
}

// Fills bytes, waiting where fd does not. How many came before the end, or -1.
static ssize_t read_fully(int fd, unsigned char *bytes, size_t byte_count) {
    size_t done = 0;
    while (done < byte_count) {
        size_t rest = byte_count - done;
        ssize_t count = read(fd, bytes + done, rest < 1 << 20 ? rest : 1 << 20);
        if (count == 0) break;
        if (count > 0) {
            done += (size_t)count;
        } else if (errno == EAGAIN) {
            struct pollfd entry = {.fd = fd, .events = POLLIN};
            (void)poll(&entry, 1, -1);
        } else if (errno == EFAULT) {
            // The memory behind the mapping could not be had.
            return bplib_fail(ENOMEM, "no memory for the image");
        } else if (errno != EINTR) {
            return bplib_fail(errno, "the image cannot be read: %s", bproc_strerror(errno));
        }
    }
    return (ssize_t)done;
}

static int out_of_bounds(const char *field, uint64_t value) {
    return bplib_fail(EBADMSG, "the image is damaged: its %s is %llu", field,
                      (unsigned long long)value);
}

static bool is_pages(uint64_t value, uint64_t lowest, uint64_t highest) {
    return value >= lowest && value <= highest && value % BP_IMAGE_PAGE == 0;
}

// Everything that memory is allocated or read by. What lies behind is covered by the checksum.
static int check_header(const struct bp_image_header *header) {
    if (header->magic != BP_IMAGE_MAGIC) {
        return bplib_fail(EINVAL, "not a process image: its magic number is %#llx",
                          (unsigned long long)header->magic);
    }
    if (header->version != BP_IMAGE_VERSION) {
        return bplib_fail(ENOEXEC, "the image has format version %u, this library knows %u",
                          header->version, BP_IMAGE_VERSION);
    }
    if (header->architecture != BP_IMAGE_ARCHITECTURE_X86_64) {
        return bplib_fail(ENOEXEC, "the image is for CPU architecture %u, this machine is %u",
                          header->architecture, BP_IMAGE_ARCHITECTURE_X86_64);
    }
    uint64_t prefix = header->prefix_byte_count, total = header->total_byte_count;
    if (!is_pages(prefix, 3 * BP_IMAGE_PAGE, BP_IMAGE_PREFIX_MAX)) {
        return out_of_bounds("prefix byte count", prefix);
    }
    if (!is_pages(total, prefix, BP_IMAGE_TOTAL_MAX)) {
        return out_of_bounds("total byte count", total);
    }
    uint64_t block = header->checksum_block_byte_count;
    if (!is_pages(block, BP_IMAGE_PAGE, 1 << 20)) {
        return out_of_bounds("checksum block byte count", block);
    }
    const struct bp_image_table *table = &header->checksums;
    if (table->count != (total - prefix + block - 1) / block || table->element_byte_count != 8) {
        return out_of_bounds("number of checksums", table->count);
    }
    if (table->offset % 8 != 0 || table->offset > prefix ||
        (uint64_t)table->count * 8 > prefix - table->offset) {
        return out_of_bounds("checksum table's offset", table->offset);
    }
    return 0;
}

// By name, as far as they fit into a sentence.
static int check_features(const struct bp_image_header *header) {
    static const struct {
        unsigned char word, bit;
        const char *name;
    } features[] = {
#define FEATURE(word, bit, name) {word, bit, name},
        BP_FEATURES(FEATURE)
#undef FEATURE
    };
    uint32_t here[BP_IMAGE_FEATURE_WORDS];
    (void)bplib_features(here);
    char names[200] = "";
    bool is_missing = false;
    for (size_t i = 0; i < BP_IMAGE_FEATURE_WORDS; i++) {
        if (header->features[i] & ~here[i]) is_missing = true;
    }
    if (!is_missing) return 0;
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++) {
        uint32_t missing = header->features[features[i].word] & ~here[features[i].word];
        size_t length = strlen(names);
        if ((missing >> features[i].bit & 1) && length + 24 < sizeof names) {
            (void)snprintf(names + length, sizeof names - length, "%s%s", length ? ", " : "",
                           features[i].name);
        }
    }
    return bplib_fail(ENOEXEC, "the CPU lacks features that the image needs: %s",
                      *names ? names : "of a kind that this library has no name for");
}

static int check_prefix(const struct image *image) {
    unsigned char first[BP_XXH3_BLOCK];
    memcpy(first, image->bytes, sizeof first);
    memset(first + BP_IMAGE_HEADER_OFFSET + offsetof(struct bp_image_header, prefix_hash), 0, 8);
    uint64_t found = bplib_checksum(first, image->bytes, image->header.prefix_byte_count);
    if (found == image->header.prefix_hash) return 0;
    return bplib_fail(EBADMSG, "the image is damaged: header and tables do not fit their checksum");
}

// The blocks between two places in the file, of which the first begins a block.
static int check_blocks(const struct image *image, uint64_t start, uint64_t end) {
    const struct bp_image_header *header = &image->header;
    uint64_t block = header->checksum_block_byte_count;
    const unsigned char *checksums = image->bytes + header->checksums.offset;
    for (uint64_t at = start; at < end; at += block) {
        uint64_t count = end - at < block ? end - at : block;
        uint64_t number = (at - header->prefix_byte_count) / block;
        uint64_t expected;
        memcpy(&expected, checksums + number * sizeof expected, sizeof expected);
        if (checksum(image->bytes + at, count) != expected) {
            return bplib_fail(EBADMSG,
                              "the image is damaged: the data at byte %llu does not fit its "
                              "checksum",
                              (unsigned long long)at);
        }
    }
    return 0;
}

static int cut_short(uint64_t byte_count, uint64_t total) {
    return bplib_fail(EINVAL, "the image is cut short: %llu of its %llu bytes are here",
                      (unsigned long long)byte_count, (unsigned long long)total);
}

// A regular file says beforehand that it ends too early: nothing is allocated or read for it.
static int check_length(int fd, uint64_t total) {
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) return 0;
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at < 0) return 0;
    // The first page has been read already.
    uint64_t rest = BP_IMAGE_PAGE + (status.st_size > at ? (uint64_t)(status.st_size - at) : 0);
    return rest < total ? cut_short(rest, total) : 0;
}

static int create_file(struct image *image) {
    char name[sizeof image->header.name + 1];
    bplib_copy_text(name, sizeof name, image->header.name, sizeof image->header.name);
    const unsigned executable = 0x10; // MFD_EXEC, Linux 6.3; older kernels refuse the bit
    image->file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | executable);
    if (image->file < 0 && errno == EINVAL) {
        image->file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (image->file < 0) {
        return bplib_fail(errno, "memory for the image: %s%s", bproc_strerror(errno),
                          errno == EACCES ? " (vm.memfd_noexec forbids what an image needs)" : "");
    }
    image->total = image->header.total_byte_count;
    if (ftruncate(image->file, (off_t)image->total) < 0) {
        return bplib_fail(errno, "memory for the image: %s", bproc_strerror(errno));
    }
    return 0;
}

static int map_file(struct image *image, int protection, int flags, uint64_t byte_count) {
    void *bytes = mmap(NULL, byte_count, protection, flags, image->file, 0);
    if (bytes == MAP_FAILED) {
        return bplib_fail(errno, "the image: mmap: %s", bproc_strerror(errno));
    }
    image->bytes = bytes;
    image->mapped = byte_count;
    return 0;
}

// Reads up to a place in the file. 0 or -1.
static int read_up_to(int fd, struct image *image, uint64_t start, uint64_t end) {
    ssize_t count = read_fully(fd, image->bytes + start, end - start);
    if (count < 0) return -1;
    if ((uint64_t)count < end - start) return cut_short(start + (uint64_t)count, image->total);
    return 0;
}

// Header, tables, data, each checked as soon as it is there.
static int read_image(int fd, const unsigned char *first_page, struct image *image) {
    if (check_length(fd, image->header.total_byte_count) < 0 || create_file(image) < 0 ||
        map_file(image, PROT_READ | PROT_WRITE, MAP_SHARED, image->total) < 0) {
        return -1;
    }
    uint64_t prefix = image->header.prefix_byte_count;
    memcpy(image->bytes, first_page, BP_IMAGE_PAGE);
    if (read_up_to(fd, image, BP_IMAGE_PAGE, prefix) < 0 || check_prefix(image) < 0 ||
        check_features(&image->header) < 0) {
        return -1;
    }
    const uint64_t piece = 1 << 20; // a multiple of every block size
    for (uint64_t at = prefix; at < image->total; at += piece) {
        uint64_t end = image->total - at < piece ? image->total : at + piece;
        if (read_up_to(fd, image, at, end) < 0 || check_blocks(image, at, end) < 0) return -1;
    }
    // A writable mapping would keep the seals away.
    (void)munmap(image->bytes, image->mapped);
    image->bytes = NULL;
    if (fchmod(image->file, 0500) < 0 ||
        fcntl(image->file, F_ADD_SEALS, UNCHANGEABLE | F_SEAL_SEAL) < 0) {
        return bplib_fail(errno, "the image cannot be sealed: %s", bproc_strerror(errno));
    }
    return 0;
}

// The whole of an unchangeable memory file, as the capture makes them, need not be copied: who
// sealed it has checked it.
// 1: taken over; 0: not such a file; -1.
static int adopt_image(int fd, struct image *image) {
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat status;
    if (seals < 0 || (seals & UNCHANGEABLE) != UNCHANGEABLE || fstat(fd, &status) < 0 ||
        (uint64_t)status.st_size != image->header.total_byte_count ||
        lseek(fd, 0, SEEK_CUR) != BP_IMAGE_PAGE || faccessat(fd, "", X_OK, AT_EMPTY_PATH) < 0) {
        return 0;
    }
    image->file = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (image->file < 0) return bplib_fail(errno, "the image: %s", bproc_strerror(errno));
    image->total = image->header.total_byte_count;
    // The code in the image thinks so too (direct.c). Only the prefix is looked at.
    if (map_file(image, PROT_READ, MAP_PRIVATE | MAP_POPULATE, image->header.prefix_byte_count) <
            0 ||
        check_prefix(image) < 0 || check_features(&image->header) < 0) {
        return -1;
    }
    (void)lseek(fd, (off_t)image->total, SEEK_SET);
    return 1;
}

static int take_image(int fd, struct image *image) {
    unsigned char page[BP_IMAGE_PAGE] = {0};
    ssize_t count = read_fully(fd, page, sizeof page);
    if (count < 0) return -1;
    if (count == 0) return bplib_fail(EINVAL, "no image: the stream has ended");
    memcpy(&image->header, page + BP_IMAGE_HEADER_OFFSET, sizeof image->header);
    size_t before = BP_IMAGE_HEADER_OFFSET;
    size_t known = (size_t)count > before ? (size_t)count - before : 0;
    if (known < sizeof image->header.magic) {
        return bplib_fail(EINVAL, "not a process image: %zd bytes are too few for one", count);
    }
    if (image->header.magic == BP_IMAGE_MAGIC && known < sizeof image->header) {
        return bplib_fail(EINVAL, "the image is cut short: %zd bytes of it are here", count);
    }
    if (check_header(&image->header) < 0) return -1;
    if ((size_t)count < sizeof page) {
        return cut_short((size_t)count, image->header.total_byte_count);
    }
    int adopted = adopt_image(fd, image);
    if (adopted != 0) return adopted < 0 ? -1 : 0;
    return read_image(fd, page, image);
}

int bplib_read_image(int fd, char *name, size_t name_capacity) {
    struct image image = {.file = -1};
    if (take_image(fd, &image) == 0) {
        bplib_copy_text(name, name_capacity, image.header.name, sizeof image.header.name);
    } else if (image.file >= 0) {
        int error = errno;
        close(image.file);
        image.file = -1;
        errno = error;
    }
    if (image.bytes) {
        int error = errno;
        (void)munmap(image.bytes, image.mapped);
        errno = error;
    }
    return image.file;
}
