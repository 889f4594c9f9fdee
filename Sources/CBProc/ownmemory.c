// What the caller has mapped, and which pages of it have content.
//
// Nothing is allocated here, and no memory of the program is written to.
#define _GNU_SOURCE
#include "ownimage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static int open_own(const struct own_memory *memory, const char *name) {
    int file = openat(memory->directory, name, O_RDONLY | O_CLOEXEC);
    return file >= 0 ? file : bplib_fail(errno, "open /proc/self/%s: %s", name,
                                         bproc_strerror(errno));
}

ssize_t bplib_read_own(const struct own_memory *memory, const char *name, void *bytes,
                       size_t byte_count) {
    int file = open_own(memory, name);
    if (file < 0) return -1;
    ssize_t count = read(file, bytes, byte_count);
    int error = errno;
    close(file);
    return count >= 0 ? count : bplib_fail(error, "read /proc/self/%s: %s", name,
                                           bproc_strerror(error));
}

// ---- /proc/self/maps ----

static const char *take_number(const char *at, unsigned base, uint64_t *number) {
    for (*number = 0;; at++) {
        unsigned digit = *at >= '0' && *at <= '9'   ? (unsigned)(*at - '0')
                         : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a') + 10
                                                    : 16;
        if (digit >= base) return at;
        *number = *number * base + digit;
    }
}

static const char *skip_word(const char *at) {
    while (*at && *at != ' ') at++;
    while (*at == ' ') at++;
    return at;
}

// Reads "start-end perms offset device inode   name". False for a line of another shape.
static bool read_line(const char *at, struct own_line *line) {
    *line = (struct own_line){0};
    at = take_number(at, 16, &line->start);
    if (*at++ != '-') return false;
    at = take_number(at, 16, &line->end);
    if (*at++ != ' ' || strnlen(at, 4) < 4 || line->end <= line->start) return false;
    line->protection = (uint8_t)((at[0] == 'r' ? PROT_READ : 0) | (at[1] == 'w' ? PROT_WRITE : 0) |
                                 (at[2] == 'x' ? PROT_EXEC : 0));
    line->is_shared = at[3] == 's';
    const char *inode = skip_word(skip_word(skip_word(at)));
    uint64_t number;
    (void)take_number(inode, 10, &number);
    const char *name = skip_word(inode);
    line->is_file = number != 0 || *name == '/';
    line->is_stack = !strcmp(name, "[stack]");
    line->is_kernels = !strncmp(name, "[v", 2);
    line->is_vdso = !strcmp(name, "[vdso]");
    line->is_vvar = !strncmp(name, "[vvar", 5);
    return true;
}

static int too_many(const char *part, uint64_t count, uint64_t limit) {
    return bplib_fail(E2BIG, "%s is %llu, at most %llu can be moved", part,
                      (unsigned long long)count, (unsigned long long)limit);
}

static int add_part(struct own_memory *memory, struct own_line line, uint64_t start,
                    uint64_t end) {
    if (end <= start) return 0;
    if (memory->line_count == OWN_LINES_MAX) {
        return too_many("the number of mappings", OWN_LINES_MAX + 1, OWN_LINES_MAX);
    }
    line.start = start;
    line.end = end;
    memory->lines[memory->line_count++] = line;
    return 0;
}

// The kernel may have merged what is left out with a neighbour: it is cut out.
static int add_line(struct own_memory *memory, struct own_line line) {
    const struct bplib_stretch *cuts = memory->left_out;
    const int lower = cuts[0].start > cuts[1].start;
    uint64_t start = line.start;
    for (int i = 0; i < 2; i++) {
        const struct bplib_stretch *cut = &cuts[i ^ lower];
        if (cut->end <= start || cut->start >= line.end) continue;
        if (add_part(memory, line, start, cut->start) < 0) return -1;
        start = cut->end;
    }
    return add_part(memory, line, start, line.end);
}

// Takes the complete lines off the text. How many bytes are left of it, or -1.
static ssize_t take_lines(struct own_memory *memory, size_t have) {
    char *at = memory->text, *end = memory->text + have, *stop;
    while ((stop = memchr(at, '\n', (size_t)(end - at)))) {
        struct own_line line;
        *stop = 0;
        if (!read_line(at, &line)) return bplib_fail(EPROTO, "/proc/self/maps: \"%s\"", at);
        if (add_line(memory, line) < 0) return -1;
        at = stop + 1;
    }
    memmove(memory->text, at, (size_t)(end - at));
    return end - at;
}

static int read_lines(struct own_memory *memory) {
    int file = open_own(memory, "maps");
    if (file < 0) return -1;
    ssize_t have = 0, count;
    do {
        count = read(file, memory->text + have, sizeof memory->text - (size_t)have);
        if (count < 0) bplib_fail(errno, "read /proc/self/maps: %s", bproc_strerror(errno));
        if (count > 0) have = take_lines(memory, (size_t)(have + count));
    } while (count > 0 && have >= 0);
    int error = errno;
    close(file);
    errno = error;
    return count < 0 || have < 0 ? -1 : 0;
}

// ---- Pages ----

static int add_range(struct own_memory *memory, struct own_line *line, uint64_t start,
                     uint64_t end) {
    struct own_range *last = &memory->ranges[memory->range_count - 1];
    if (line->range_count > 0 && start - last->end < OWN_GAP_BYTES) {
        last->end = end;
        return 0;
    }
    if (memory->range_count == OWN_RANGES_MAX) {
        return too_many("the number of stretches of memory", OWN_RANGES_MAX + 1, OWN_RANGES_MAX);
    }
    if (line->range_count++ == 0) line->first_range = memory->range_count;
    memory->ranges[memory->range_count++] = (struct own_range){start, end};
    return 0;
}

static int find_by_scan(struct own_memory *memory, struct own_line *line, int pagemap) {
    struct bp_page_range *found = (void *)memory->piece;
    uint64_t cursor = line->start, walked = 0;
    while (cursor < line->end) {
        long count = bp_pagemap_scan(pagemap, cursor, line->end, found, 1024, &walked);
        if (count < 0) {
            int error = (int)-count;
            return bplib_fail(error, "scan page map: %s", bproc_strerror(error));
        }
        for (long i = 0; i < count; i++) {
            if (add_range(memory, line, found[i].start, found[i].end) < 0) return -1;
        }
        if (walked <= cursor) break;
        cursor = walked;
    }
    return 0;
}

// The same before Linux 6.7.
static int find_by_reading(struct own_memory *memory, struct own_line *line, int pagemap) {
    uint64_t *entries = (void *)memory->piece;
    for (uint64_t cursor = line->start; cursor < line->end;) {
        size_t pages = sizeof memory->piece / sizeof *entries;
        if (pages > (line->end - cursor) / BP_IMAGE_PAGE) {
            pages = (line->end - cursor) / BP_IMAGE_PAGE;
        }
        ssize_t count = pread(pagemap, entries, pages * sizeof *entries,
                              (off_t)(cursor / BP_IMAGE_PAGE * sizeof *entries));
        if (count < 0) return bplib_fail(errno, "read page map: %s", bproc_strerror(errno));
        if (count == 0) break;
        size_t got = (size_t)count / sizeof *entries;
        for (size_t i = 0; i < got; i++, cursor += BP_IMAGE_PAGE) {
            if (!bp_pagemap_has_content(entries[i])) continue;
            if (add_range(memory, line, cursor, cursor + BP_IMAGE_PAGE) < 0) return -1;
        }
    }
    return 0;
}

// Marks the lines that have pages at all, where the kernel does not scan by itself: a terabyte that
// nobody has touched has two gigabytes of page map. Such a line has one range for the moment. A
// mapping is several lines where something of it is left out.
static void mark_touched(struct own_memory *memory, const char *text, struct own_line *mapping,
                         uint32_t *index) {
    struct own_line line;
    if (read_line(text, &line)) {
        *mapping = line;
        while (*index < memory->line_count && memory->lines[*index].end <= line.start) ++*index;
    } else if (!strncmp(text, "Rss:", 4) || !strncmp(text, "Swap:", 5)) {
        uint64_t kilobytes;
        (void)take_number(skip_word(text), 10, &kilobytes);
        for (uint32_t i = *index; kilobytes > 0 && i < memory->line_count; i++) {
            if (memory->lines[i].start >= mapping->end) break;
            memory->lines[i].range_count = 1;
        }
    }
}

static int find_touched(struct own_memory *memory) {
    int file = open_own(memory, "smaps");
    if (file < 0) return -1;
    size_t have = 0;
    ssize_t count;
    uint32_t index = 0;
    struct own_line mapping = {0};
    while ((count = read(file, memory->text + have, sizeof memory->text - have)) > 0) {
        char *at = memory->text, *end = at + have + (size_t)count, *stop;
        while ((stop = memchr(at, '\n', (size_t)(end - at)))) {
            *stop = 0;
            mark_touched(memory, at, &mapping, &index);
            at = stop + 1;
        }
        have = (size_t)(end - at);
        memmove(memory->text, at, have);
    }
    int error = errno;
    close(file);
    return count == 0 ? 0 : bplib_fail(error, "read /proc/self/smaps: %s", bproc_strerror(error));
}

// Of a file mapping everything: pages that nobody has touched yet are not present, but have
// content. Except where nothing can be read: linkers leave such gaps between segments.
static int find_pages(struct own_memory *memory, struct own_line *line, int pagemap, bool scans) {
    bool is_touched = line->range_count > 0;
    line->range_count = 0;
    if (line->is_stack) return 0;
    if (line->is_file && line->protection != 0) {
        return add_range(memory, line, line->start, line->end);
    }
    if (scans) return find_by_scan(memory, line, pagemap);
    return is_touched ? find_by_reading(memory, line, pagemap) : 0;
}

static int find_all_pages(struct own_memory *memory, int pagemap) {
    uint64_t walked;
    long probe = bp_pagemap_scan(pagemap, 0, BP_IMAGE_PAGE, (void *)memory->piece, 1, &walked);
    bool scans = probe != -ENOTTY && probe != -EINVAL;
    if (!scans && find_touched(memory) < 0) return -1;
    for (uint32_t i = 0; i < memory->line_count; i++) {
        struct own_line *line = &memory->lines[i];
        if (line->is_kernels) continue;
        if (find_pages(memory, line, pagemap, scans) < 0) return -1;
        for (uint32_t k = 0; k < line->range_count; k++) {
            const struct own_range *range = &memory->ranges[line->first_range + k];
            uint64_t byte_count = range->end - range->start;
            memory->byte_count += byte_count;
            memory->piece_count += (byte_count + OWN_PIECE_BYTES - 1) / OWN_PIECE_BYTES;
        }
    }
    return 0;
}

int bplib_survey_memory(struct own_memory *memory) {
    if (read_lines(memory) < 0) return -1;
    for (uint32_t i = 0; i < memory->line_count; i++) {
        const struct own_line *line = &memory->lines[i];
        if (line->is_kernels || !line->is_shared || !(line->protection & PROT_WRITE)) continue;
        return bplib_fail(EOPNOTSUPP, "shared writable memory at %#llx cannot be moved",
                          (unsigned long long)line->start);
    }
    int pagemap = open_own(memory, "pagemap");
    if (pagemap < 0) return -1;
    int result = find_all_pages(memory, pagemap);
    int error = errno;
    close(pagemap);
    errno = error;
    return result;
}

const struct own_line *bplib_own_stack(const struct own_memory *memory) {
    for (uint32_t i = 0; i < memory->line_count; i++) {
        if (memory->lines[i].is_stack) return &memory->lines[i];
    }
    return NULL;
}

uint64_t bplib_lowest_used(struct own_memory *memory, const struct own_line *stack) {
    int pagemap = open_own(memory, "pagemap");
    if (pagemap < 0) return stack->end;
    struct own_line whole = *stack;
    whole.range_count = 0;
    uint32_t before = memory->range_count;
    uint64_t lowest = stack->end;
    if (find_by_reading(memory, &whole, pagemap) == 0 && whole.range_count > 0) {
        lowest = memory->ranges[whole.first_range].start;
    }
    memory->range_count = before;
    close(pagemap);
    return lowest;
}

uint64_t bplib_own_hole(const struct own_memory *memory, uint64_t byte_count) {
    const struct own_range restorer = {BP_RESTORER_ADDRESS,
                                       BP_RESTORER_ADDRESS + BP_RESTORER_RANGE};
    uint64_t candidate = BP_IMAGE_LOWEST_ADDRESS;
    for (uint32_t i = 0; i <= memory->line_count; i++) {
        uint64_t end = i < memory->line_count ? memory->lines[i].start : BP_IMAGE_USER_END;
        if (end > BP_IMAGE_USER_END) end = BP_IMAGE_USER_END;
        // The restorer's own place lies in one of the holes.
        if (candidate < restorer.end && end > restorer.start) {
            if (restorer.start > candidate && restorer.start - candidate >= byte_count) {
                return candidate;
            }
            if (candidate < restorer.end) candidate = restorer.end;
        }
        if (end > candidate && end - candidate >= byte_count) return candidate;
        if (i < memory->line_count && memory->lines[i].end > candidate) {
            candidate = memory->lines[i].end;
        }
    }
    return 0;
}

// ---- Content ----

// Copies what must not be touched: protected memory, and mappings behind the end of their file.
const unsigned char *bplib_copy_guarded(struct own_memory *memory, uint64_t address,
                                        size_t byte_count) {
    size_t done = 0;
    int file = -1;
    while (done < byte_count) {
        struct iovec local = {memory->piece + done, byte_count - done};
        struct iovec remote = {(void *)(address + done), byte_count - done};
        ssize_t count = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        if (count > 0) {
            done += (size_t)count;
            continue;
        }
        // Through the file protection does not count: execute-only and PROT_NONE pages.
        size_t page = BP_IMAGE_PAGE - done % BP_IMAGE_PAGE;
        if (page > byte_count - done) page = byte_count - done;
        if (file < 0) file = openat(memory->directory, "mem", O_RDONLY | O_CLOEXEC);
        count = pread(file, memory->piece + done, page, (off_t)(address + done));
        if (count < 0) count = 0;
        memset(memory->piece + done + count, 0, page - (size_t)count);
        done += page;
    }
    if (file >= 0) close(file);
    return memory->piece;
}

bool bplib_can_read(const struct own_line *line) {
    char byte;
    struct iovec here = {(void *)line->start, 1}, there = {&byte, 1};
    // Reads as the caller would, which a key in its page tables may forbid.
    return process_vm_writev(getpid(), &here, 1, &there, 1, 0) == 1;
}
