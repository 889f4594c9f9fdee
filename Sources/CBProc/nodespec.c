// Which nodes a user means, as written. The same grammar as the Swift module NodeSpec, to the
// wording of the sentences: BProcTests compares the two.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_BYTES_MAX = 256 << 10,
    NODES_MAX = 1 << 20,
};

enum term_kind { TERM_NUMBERS, TERM_MASTER, TERM_ALL, TERM_IN_STATE, TERM_NOT_IN_STATE };

// One element of the comma list.
struct term {
    enum term_kind kind;
    int first, last; // TERM_NUMBERS: both are meant
    char state[BPROC_STATE_LEN + 1];
};

// The byte at length is the NUL, so one byte of look-ahead is always there.
struct reader {
    const char *text;
    size_t length, offset;
};

// ASCII, whatever the caller's locale.
static bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }
static bool is_letter(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}
static bool is_word_byte(char byte) { return is_letter(byte) || is_digit(byte) || byte == '_'; }

// ---- Reading ----

static int wrong(size_t offset, const char *sentence) {
    return bplib_fail(EINVAL, "node specification, character %zu: %s", offset + 1, sentence);
}

// Ends the sentence with the byte that stands at the place.
static int wrong_byte(const struct reader *reader, const char *expected) {
    unsigned char byte = (unsigned char)reader->text[reader->offset];
    size_t place = reader->offset + 1;
    if (byte == ' ') {
        return bplib_fail(EINVAL, "node specification, character %zu: %s, not a blank", place,
                          expected);
    }
    const char *form = byte > ' ' && byte < 0x7f
                           ? "node specification, character %zu: %s, not \"%c\""
                           : "node specification, character %zu: %s, not the byte 0x%X";
    return bplib_fail(EINVAL, form, place, expected, byte);
}

// "n" or "." straight before a digit.
static bool at_number_prefix(const struct reader *reader) {
    const char *here = reader->text + reader->offset;
    return (*here == 'n' || *here == '.') && is_digit(here[1]);
}

// Decimal digits with an optional prefix; the caller has seen that a digit is there.
static int read_number(struct reader *reader, int *number) {
    if (!is_digit(reader->text[reader->offset])) reader->offset++;
    size_t start = reader->offset;
    int value = 0;
    for (char byte; is_digit(byte = reader->text[reader->offset]); reader->offset++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, byte - '0', &value)) {
            return wrong(start, "the number is too large: nodes go up to 2147483647");
        }
    }
    *number = value;
    return 0;
}

static int read_numbers(struct reader *reader, struct term *term) {
    term->kind = TERM_NUMBERS;
    if (read_number(reader, &term->first) < 0) return -1;
    term->last = term->first;
    if (reader->text[reader->offset] != '-') return 0;
    reader->offset++;
    char next = reader->text[reader->offset];
    if (reader->offset == reader->length || next == ',') {
        term->last = INT_MAX;
        return 0;
    }
    if (!is_digit(next) && !at_number_prefix(reader)) {
        return wrong_byte(reader, "a number, a comma or the end was expected after the dash");
    }
    size_t place = reader->offset;
    if (read_number(reader, &term->last) < 0) return -1;
    if (term->first <= term->last) return 0;
    return bplib_fail(EINVAL,
                      "node specification, character %zu: the range runs backwards: %d is below %d",
                      place + 1, term->last, term->first);
}

static int read_word(struct reader *reader, struct term *term) {
    const char *word = reader->text + reader->offset;
    while (is_word_byte(reader->text[reader->offset])) reader->offset++;
    size_t length = (size_t)(reader->text + reader->offset - word);
    if (length == 6 && memcmp(word, "master", 6) == 0) {
        term->kind = TERM_MASTER;
        return 0;
    }
    if (length >= 3 && memcmp(word, "all", 3) == 0) word += 3, length -= 3;
    if (length == 0) {
        term->kind = TERM_ALL;
        return 0;
    }
    term->kind = TERM_IN_STATE;
    if (length >= 3 && memcmp(word, "not", 3) == 0) {
        term->kind = TERM_NOT_IN_STATE;
        word += 3, length -= 3;
        if (length == 0) {
            return wrong(reader->offset, "the name of a state was expected after \"not\"");
        }
    }
    if (length > BPROC_STATE_LEN) {
        return bplib_fail(EINVAL,
                          "node specification, character %zu: the name of a state has at most %d "
                          "characters, this one has %zu",
                          (size_t)(word - reader->text) + 1, BPROC_STATE_LEN, length);
    }
    memcpy(term->state, word, length);
    term->state[length] = 0;
    return 0;
}

static int read_term(struct reader *reader, struct term *term) {
    if (reader->offset == reader->length) {
        return wrong(reader->offset, "a node was expected after the comma");
    }
    char first = reader->text[reader->offset];
    if (is_digit(first) || at_number_prefix(reader)) return read_numbers(reader, term);
    if (is_letter(first)) return read_word(reader, term);
    switch (first) {
    case '-':
        return wrong(reader->offset,
                     "a node number is never negative; the front end is written \"master\"");
    case ',': return wrong(reader->offset, "a node was expected before the comma");
    case '.': return wrong(reader->offset + 1, "a number was expected after the dot");
    default: return wrong_byte(reader, "a node was expected");
    }
}

// Reads the next term and the comma behind it. 1: a term; 0: there was none left; -1.
static int next_term(struct reader *reader, struct term *term) {
    if (reader->offset > reader->length) return 0;
    if (read_term(reader, term) < 0) return -1;
    if (reader->offset < reader->length && reader->text[reader->offset] != ',') {
        return wrong_byte(reader, "a comma or the end was expected");
    }
    reader->offset++;
    return 1;
}

// ---- Resolving ----

static int compare_numbers(const void *left, const void *right) {
    const struct bproc_node_info_t *const *a = left, *const *b = right;
    if ((*a)->node != (*b)->node) return (*a)->node < (*b)->node ? -1 : 1;
    return *a < *b ? -1 : *a > *b; // entries of one number in the order of the set
}

// Pointers to the entries of a set but the front end, by number.
struct table {
    const struct bproc_node_info_t **entries;
    size_t count;
};

static int make_table(struct table *table, const struct bproc_node_set_t *known) {
    size_t size = (size_t)known->size;
    *table = (struct table){.entries = malloc((size + 1) * sizeof *table->entries)};
    if (!table->entries) return bplib_fail(ENOMEM, "out of memory: %zu nodes", size);
    for (size_t i = 0; i < size; i++) {
        if (known->node[i].node >= 0) table->entries[table->count++] = &known->node[i];
    }
    qsort(table->entries, table->count, sizeof *table->entries, compare_numbers);
    return 0;
}

// The index of the first entry at or above a number.
static size_t table_index(const struct table *table, int number) {
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->entries[middle]->node < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_meant(const struct term *term, const struct bproc_node_info_t *node) {
    switch (term->kind) {
    case TERM_NUMBERS: return node->node <= term->last;
    case TERM_ALL: return true;
    case TERM_IN_STATE: return strncmp(node->status, term->state, sizeof node->status) == 0;
    case TERM_NOT_IN_STATE: return strncmp(node->status, term->state, sizeof node->status) != 0;
    case TERM_MASTER: break;
    }
    return false;
}

static int take_term(const struct term *term, const struct table *table,
                     struct bproc_node_set_t *set) {
    if (term->kind == TERM_MASTER) {
        // It stands in no table: always there, open to everyone, and root's.
        struct bproc_node_info_t front_end = {
            .node = BPROC_NODE_MASTER, .status = "up", .mode = 0111};
        return bproc_nodeset_add(set, &front_end);
    }
    bool has_range = term->kind == TERM_NUMBERS;
    for (size_t i = has_range ? table_index(table, term->first) : 0; i < table->count; i++) {
        if (!is_meant(term, table->entries[i])) {
            if (has_range) break;
            continue;
        }
        if (set->size >= NODES_MAX) {
            return bplib_fail(E2BIG, "more than %d nodes are named", NODES_MAX);
        }
        // By doubling: the set's own step would copy a long list once for each 128 entries.
        if (set->size == set->alloc && bproc_nodeset_grow(set, 2 * set->size + 1) < 0) return -1;
        set->node[set->size++] = *table->entries[i];
    }
    return 0;
}

int bproc_nodefilter(struct bproc_node_set_t *chosen, const struct bproc_node_set_t *known,
                     const char *specification) {
    if (!chosen || !known || !specification) {
        return bplib_fail(EFAULT, "no node set, or no specification");
    }
    if (known->size < 0) return bplib_fail(EINVAL, "a node set of %d entries", known->size);
    if (known->size > 0 && !known->node) return bplib_fail(EFAULT, "a node set without entries");
    size_t length = strlen(specification);
    if (length == 0) return wrong(0, "it is empty: no node is named");
    if (length > TEXT_BYTES_MAX) {
        return bplib_fail(EINVAL,
                          "node specification, character 1: the text is %zu bytes long; at most %d "
                          "are read",
                          length, TEXT_BYTES_MAX);
    }
    // Nothing is looked up before all of the text is known to be good.
    const struct reader start = {.text = specification, .length = length};
    struct term term;
    int found;
    for (struct reader reader = start; (found = next_term(&reader, &term)) > 0;) continue;
    struct table table;
    if (found < 0 || make_table(&table, known) < 0) return -1;
    struct bproc_node_set_t set = BPROC_EMPTY_NODESET;
    for (struct reader reader = start; (found = next_term(&reader, &term)) > 0;) {
        if (take_term(&term, &table, &set) < 0) {
            found = -1;
            break;
        }
    }
    int error = errno;
    free(table.entries);
    if (found < 0) {
        bproc_nodeset_free(&set);
        errno = error;
        return -1;
    }
    // A set that is filtered into itself has nobody else to free what it held.
    if (chosen == known) bproc_nodeset_free(chosen);
    *chosen = set;
    return set.size;
}

int bproc_nodespec(struct bproc_node_set_t *chosen, const char *specification) {
    if (!chosen || !specification) return bplib_fail(EFAULT, "no node set, or no specification");
    struct bproc_node_set_t known;
    if (bproc_nodelist(&known) < 0) return -1;
    int count = bproc_nodefilter(chosen, &known, specification);
    int error = errno;
    bproc_nodeset_free(&known);
    errno = error;
    return count;
}
