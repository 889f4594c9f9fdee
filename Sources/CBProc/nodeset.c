// Sets of nodes: lists that keep order and repetition.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct bproc_node_set_t) == 16, "bproc_node_set_t");

enum { NODESET_STEP = 128 };

int bproc_nodeset_init(struct bproc_node_set_t *set, int size) {
    if (!set) return bplib_fail(EFAULT, "no node set");
    *set = (struct bproc_node_set_t){0, 0, NULL};
    if (bproc_nodeset_grow(set, size) < 0) return -1;
    set->size = size;
    return 0;
}

int bproc_nodeset_grow(struct bproc_node_set_t *set, int size) {
    if (!set) return bplib_fail(EFAULT, "no node set");
    if (size < 0 || size > INT_MAX - NODESET_STEP) {
        return bplib_fail(EINVAL, "a node set of %d entries", size);
    }
    if (size <= set->alloc) return 0;
    int alloc = (size + NODESET_STEP - 1) / NODESET_STEP * NODESET_STEP;
    struct bproc_node_info_t *node = realloc(set->node, (size_t)alloc * sizeof *node);
    if (!node) return bplib_fail(ENOMEM, "out of memory: %d nodes", alloc);
    memset(node + set->alloc, 0, (size_t)(alloc - set->alloc) * sizeof *node);
    set->node = node;
    set->alloc = alloc;
    return 0;
}

void bproc_nodeset_free(struct bproc_node_set_t *set) {
    if (!set) return;
    free(set->node);
    *set = (struct bproc_node_set_t){0, 0, NULL};
}

int bproc_nodeset_add(struct bproc_node_set_t *set, const struct bproc_node_info_t *node) {
    if (!set || !node) return bplib_fail(EFAULT, "no node set, or no node");
    // The node may stand in this very set, which grow may move.
    struct bproc_node_info_t copy = *node;
    if (set->size < 0 || set->size == INT_MAX) {
        return bplib_fail(EINVAL, "a node set of %d entries", set->size);
    }
    if (bproc_nodeset_grow(set, set->size + 1) < 0) return -1;
    set->node[set->size++] = copy;
    return 0;
}

int bproc_nodeset_append(struct bproc_node_set_t *set, const struct bproc_node_set_t *other) {
    if (!set || !other) return bplib_fail(EFAULT, "no node set");
    int added = other->size;
    if (added < 0 || set->size < 0 || set->size > INT_MAX - added) {
        return bplib_fail(EINVAL, "node sets of %d and %d entries", set->size, added);
    }
    if (added > 0 && !other->node) return bplib_fail(EFAULT, "a node set without entries");
    if (bproc_nodeset_grow(set, set->size + added) < 0) return -1;
    // other may be set itself: grow has then changed it, but not its entries.
    if (added) {
        memcpy(set->node + set->size, other->node, (size_t)added * sizeof *set->node);
    }
    set->size += added;
    return 0;
}
