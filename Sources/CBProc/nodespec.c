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
    GROUP_NAME_MAX = 63,
};

enum term_kind { TERM_NUMBERS, TERM_MASTER, TERM_ALL, TERM_IN_STATE, TERM_NOT_IN_STATE };

// One element of the comma list, or one range of a bracket or group.
struct term {
    enum term_kind kind;
    int first, last, step; // TERM_NUMBERS: both are meant
    bool excluded;         // it stands behind an exclamation mark
    char state[BPROC_STATE_LEN + 1];
};

// Who is handed the terms as they are read. 0 or -1.
struct visitor {
    int (*visit)(struct visitor *visitor, const struct term *term);
};

// The byte at length is the NUL, so one byte of look-ahead is always there.
struct reader {
    const char *text;
    size_t length, offset;
    const char *groups; // lines name=ranges, or NULL
    bool excluded;
    // What counts against the limit: numbers of ranges with a step, ranges of groups.
    long stepped_count, range_count;
    struct visitor *visitor;
};

// ASCII, whatever the caller's locale.
static bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }
static bool is_letter(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}
static bool is_word_byte(char byte) { return is_letter(byte) || is_digit(byte) || byte == '_'; }
static bool is_group_byte(char byte) { return is_word_byte(byte) || byte == '.' || byte == '-'; }

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

static bool is_at_end(const struct reader *reader) { return reader->offset == reader->length; }

// "n" or "." straight before a digit.
static bool at_number_prefix(const struct reader *reader) {
    const char *here = reader->text + reader->offset;
    return (*here == 'n' || *here == '.') && is_digit(here[1]);
}

static bool at_bracket(const struct reader *reader) {
    const char *here = reader->text + reader->offset;
    return *here == '[' || ((*here == 'n' || *here == '.') && here[1] == '[');
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

// Behind the colon that the caller has seen.
static int read_step(struct reader *reader, int *step) {
    reader->offset++;
    if (!is_digit(reader->text[reader->offset])) {
        return wrong(reader->offset, "a number was expected after the colon");
    }
    size_t place = reader->offset;
    if (read_number(reader, step) < 0) return -1;
    return *step > 0 ? 0 : wrong(place, "a step is at least 1");
}

// Behind the first number and its dash.
static int read_upper(struct reader *reader, struct term *term, bool in_bracket, size_t start) {
    char next = reader->text[reader->offset];
    if (is_at_end(reader) || next == ',' || (in_bracket && next == ']') || next == ':') {
        term->last = INT_MAX;
        return next == ':' ? read_step(reader, &term->step) : 0;
    }
    if (!is_digit(next) && (in_bracket || !at_number_prefix(reader))) {
        return wrong_byte(reader, "a number, a comma or the end was expected after the dash");
    }
    size_t place = reader->offset;
    if (read_number(reader, &term->last) < 0) return -1;
    if (term->first > term->last) {
        return bplib_fail(
            EINVAL, "node specification, character %zu: the range runs backwards: %d is below %d",
            place + 1, term->last, term->first);
    }
    if (reader->text[reader->offset] != ':') return 0;
    if (read_step(reader, &term->step) < 0) return -1;
    if (term->step == 1) return 0;
    reader->stepped_count += (term->last - term->first) / term->step + 1;
    if (reader->stepped_count <= NODES_MAX) return 0;
    return bplib_fail(EINVAL,
                      "node specification, character %zu: ranges with a step name more than %d "
                      "nodes",
                      start + 1, NODES_MAX);
}

static int read_numbers(struct reader *reader, bool in_bracket) {
    struct term term = {.kind = TERM_NUMBERS, .step = 1, .excluded = reader->excluded};
    size_t start = reader->offset;
    if (read_number(reader, &term.first) < 0) return -1;
    term.last = term.first;
    if (reader->text[reader->offset] == '-') {
        reader->offset++;
        if (read_upper(reader, &term, in_bracket, start) < 0) return -1;
    }
    return reader->visitor->visit(reader->visitor, &term);
}

static int read_bracket(struct reader *reader) {
    if (reader->text[reader->offset] != '[') reader->offset++;
    size_t bracket = reader->offset;
    do {
        reader->offset++;
        if (is_at_end(reader)) return wrong(bracket, "the bracket is not closed");
        if (!is_digit(reader->text[reader->offset])) {
            return wrong_byte(reader, "a number was expected in the bracket");
        }
        if (read_numbers(reader, true) < 0) return -1;
    } while (reader->text[reader->offset] == ',');
    if (is_at_end(reader)) return wrong(bracket, "the bracket is not closed");
    if (reader->text[reader->offset] != ']') {
        return wrong_byte(reader, "a comma or \"]\" was expected");
    }
    reader->offset++;
    return 0;
}

// What a group's line has behind its name, and the length of that; NULL: there is no such group.
static const char *find_group(const char *groups, const char *name, size_t length, size_t *bytes) {
    while (groups && *groups) {
        size_t line = strcspn(groups, "\n");
        if (line > length && groups[length] == '=' && memcmp(groups, name, length) == 0) {
            *bytes = line - length - 1;
            return groups + length + 1;
        }
        groups += line + (groups[line] == '\n');
    }
    return NULL;
}

static int read_group(struct reader *reader) {
    size_t start = ++reader->offset;
    while (is_group_byte(reader->text[reader->offset])) reader->offset++;
    size_t length = reader->offset - start, bytes;
    const char *name = reader->text + start;
    if (length == 0) return wrong(start, "the name of a group was expected after \"@\"");
    if (length > GROUP_NAME_MAX) {
        return bplib_fail(EINVAL,
                          "node specification, character %zu: the name of a group has at most %d "
                          "characters, this one has %zu",
                          start + 1, GROUP_NAME_MAX, length);
    }
    const char *ranges = find_group(reader->groups, name, length, &bytes);
    if (!ranges) {
        return bplib_fail(EINVAL,
                          "node specification, character %zu: there is no group \"%.*s\"",
                          start + 1, (int)length, name);
    }
    reader->range_count++;
    for (size_t i = 0; i < bytes; i++) reader->range_count += ranges[i] == ',';
    if (reader->range_count > NODES_MAX) {
        return bplib_fail(EINVAL,
                          "node specification, character %zu: the groups hold more than %d ranges",
                          start + 1, NODES_MAX);
    }
    struct reader group = {.text = ranges, .length = bytes, .excluded = reader->excluded,
                           .visitor = reader->visitor};
    for (; group.offset < bytes; group.offset++) {
        if (!is_digit(ranges[group.offset]) || read_numbers(&group, false) < 0 ||
            (group.offset < bytes && ranges[group.offset] != ',')) {
            return bplib_fail(EPROTO, "the group %.*s cannot be read", (int)length, name);
        }
    }
    return 0;
}

static int read_word(struct reader *reader) {
    struct term term = {.excluded = reader->excluded};
    const char *word = reader->text + reader->offset;
    while (is_word_byte(reader->text[reader->offset])) reader->offset++;
    size_t length = (size_t)(reader->text + reader->offset - word);
    bool is_master = length == 6 && memcmp(word, "master", 6) == 0;
    if (!is_master && length >= 3 && memcmp(word, "all", 3) == 0) word += 3, length -= 3;
    if (is_master || length == 0) {
        term.kind = is_master ? TERM_MASTER : TERM_ALL;
        return reader->visitor->visit(reader->visitor, &term);
    }
    term.kind = TERM_IN_STATE;
    if (length >= 3 && memcmp(word, "not", 3) == 0) {
        term.kind = TERM_NOT_IN_STATE;
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
    memcpy(term.state, word, length);
    return reader->visitor->visit(reader->visitor, &term);
}

static int read_element(struct reader *reader) {
    if (is_at_end(reader)) {
        return wrong(reader->offset, reader->excluded
                                         ? "a node was expected after the exclamation mark"
                                         : "a node was expected after the comma");
    }
    char first = reader->text[reader->offset];
    if (is_digit(first) || at_number_prefix(reader)) return read_numbers(reader, false);
    if (at_bracket(reader)) return read_bracket(reader);
    if (is_letter(first)) return read_word(reader);
    switch (first) {
    case '@': return read_group(reader);
    case '-':
        return wrong(reader->offset,
                     "a node number is never negative; the front end is written \"master\"");
    case ',': return wrong(reader->offset, "a node was expected before the comma");
    case '.': return wrong(reader->offset + 1, "a number was expected after the dot");
    default: return wrong_byte(reader, "a node was expected");
    }
}

// Hands all terms to the visitor. 0 or -1.
static int read_all(struct reader reader, struct visitor *visitor) {
    reader.visitor = visitor;
    for (;; reader.offset++) {
        reader.excluded = reader.text[reader.offset] == '!';
        if (reader.excluded) reader.offset++;
        if (read_element(&reader) < 0) return -1;
        if (is_at_end(&reader)) return 0;
        if (reader.text[reader.offset] != ',') {
            return wrong_byte(&reader, "a comma or the end was expected");
        }
    }
}

// ---- Resolving ----

static int compare_numbers(const void *left, const void *right) {
    const struct bproc_node_info_t *const *a = left, *const *b = right;
    if ((*a)->node != (*b)->node) return (*a)->node < (*b)->node ? -1 : 1;
    return *a < *b ? -1 : *a > *b; // entries of one number in the order of the set
}

// Pointers to the entries of a set but the front end, by number, and which of them are taken away.
struct table {
    const struct bproc_node_info_t **entries;
    bool *is_excluded;
    size_t count;
};

static void free_table(struct table *table) {
    free(table->entries);
    free(table->is_excluded);
}

static int make_table(struct table *table, const struct bproc_node_set_t *known) {
    size_t size = (size_t)known->size;
    *table = (struct table){.entries = malloc((size + 1) * sizeof *table->entries),
                            .is_excluded = calloc(size + 1, sizeof *table->is_excluded)};
    if (!table->entries || !table->is_excluded) {
        free_table(table);
        return bplib_fail(ENOMEM, "out of memory: %zu nodes", size);
    }
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
    case TERM_NUMBERS: return (node->node - term->first) % term->step == 0;
    case TERM_ALL: return true;
    case TERM_IN_STATE: return strncmp(node->status, term->state, sizeof node->status) == 0;
    case TERM_NOT_IN_STATE: return strncmp(node->status, term->state, sizeof node->status) != 0;
    case TERM_MASTER: break;
    }
    return false;
}

// What is made of the terms: first they are counted, then the excluded ones mark their nodes, then
// the others take theirs.
struct selection {
    struct visitor visitor;
    struct table table;
    struct bproc_node_set_t set;
    bool excludes_master;
    size_t term_count, excluded_count, taken_count;
};

static int count_term(struct visitor *visitor, const struct term *term) {
    struct selection *selection = (struct selection *)visitor;
    if (!term->excluded) selection->term_count++;
    return 0;
}

static int take_node(struct selection *selection, const struct term *term, size_t index) {
    size_t *count = term->excluded ? &selection->excluded_count : &selection->taken_count;
    if (++*count > NODES_MAX) return bplib_fail(E2BIG, "more than %d nodes are named", NODES_MAX);
    if (term->excluded) {
        selection->table.is_excluded[index] = true;
        return 0;
    }
    if (selection->table.is_excluded[index]) return 0;
    struct bproc_node_set_t *set = &selection->set;
    // By doubling: the set's own step would copy a long list once for each 128 entries.
    if (set->size == set->alloc && bproc_nodeset_grow(set, 2 * set->size + 1) < 0) return -1;
    set->node[set->size++] = *selection->table.entries[index];
    return 0;
}

static int take_term(struct selection *selection, const struct term *term) {
    if (term->kind == TERM_MASTER) {
        if (term->excluded) selection->excludes_master = true;
        if (term->excluded || selection->excludes_master) return 0;
        // It stands in no table: always there, open to everyone, and root's.
        struct bproc_node_info_t front_end = {
            .node = BPROC_NODE_MASTER, .status = "up", .mode = 0111};
        return bproc_nodeset_add(&selection->set, &front_end);
    }
    const struct table *table = &selection->table;
    bool has_range = term->kind == TERM_NUMBERS;
    for (size_t i = has_range ? table_index(table, term->first) : 0; i < table->count; i++) {
        if (has_range && table->entries[i]->node > term->last) break;
        if (is_meant(term, table->entries[i]) && take_node(selection, term, i) < 0) return -1;
    }
    return 0;
}

static int exclude_term(struct visitor *visitor, const struct term *term) {
    return term->excluded ? take_term((struct selection *)visitor, term) : 0;
}

static int include_term(struct visitor *visitor, const struct term *term) {
    return term->excluded ? 0 : take_term((struct selection *)visitor, term);
}

static int select_nodes(struct selection *selection, const struct reader *start) {
    selection->visitor.visit = exclude_term;
    if (read_all(*start, &selection->visitor) < 0) return -1;
    // Nothing but exclusions: they are taken away from all nodes.
    if (selection->term_count == 0) {
        return take_term(selection, &(struct term){.kind = TERM_ALL});
    }
    selection->visitor.visit = include_term;
    return read_all(*start, &selection->visitor);
}

int bproc_groupfilter(struct bproc_node_set_t *chosen, const struct bproc_node_set_t *known,
                      const char *specification, const char *groups) {
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
    const struct reader start = {.text = specification, .length = length, .groups = groups};
    struct selection selection = {.visitor.visit = count_term};
    if (read_all(start, &selection.visitor) < 0) return -1;
    if (make_table(&selection.table, known) < 0) return -1;
    int result = select_nodes(&selection, &start), error = errno;
    free_table(&selection.table);
    if (result < 0) {
        bproc_nodeset_free(&selection.set);
        errno = error;
        return -1;
    }
    // A set that is filtered into itself has nobody else to free what it held.
    if (chosen == known) bproc_nodeset_free(chosen);
    *chosen = selection.set;
    return chosen->size;
}

int bproc_nodefilter(struct bproc_node_set_t *chosen, const struct bproc_node_set_t *known,
                     const char *specification) {
    char *groups = NULL;
    // Only who names a group needs a daemon that knows it.
    if (specification && strchr(specification, '@') && bproc_nodegroups(&groups) < 0) return -1;
    int count = bproc_groupfilter(chosen, known, specification, groups), error = errno;
    free(groups);
    errno = error;
    return count;
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
