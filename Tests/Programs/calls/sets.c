/* Node sets and specifications. */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

#include <limits.h>

static void fill(struct bproc_node_set_t *set, int count) {
    CHECK(bproc_nodeset_init(set, count) == 0);
    for (int i = 0; i < count; i++) {
        set->node[i].node = i;
        strcpy(set->node[i].status, i % 2 ? "down" : "up");
    }
}

static void nodeset_init(void) {
    struct bproc_node_set_t set;
    CHECK(bproc_nodeset_init(&set, 130) == 0);
    CHECK(set.size == 130 && set.alloc == 256);
    CHECK(set.node[129].node == 0 && set.node[129].status[0] == 0);
    bproc_nodeset_free(&set);
    CHECK(bproc_nodeset_init(&set, 0) == 0);
    CHECK(set.size == 0);
    bproc_nodeset_free(&set);
    CHECK_FAILS(bproc_nodeset_init(NULL, 1), EFAULT);
    CHECK_FAILS(bproc_nodeset_init(&set, -1), EINVAL);
    CHECK_FAILS(bproc_nodeset_init(&set, INT_MAX), EINVAL);
}

static void nodeset_grow(void) {
    struct bproc_node_set_t set = BPROC_EMPTY_NODESET;
    CHECK(bproc_nodeset_grow(&set, 1) == 0);
    CHECK(set.size == 0 && set.alloc == 128);
    CHECK(bproc_nodeset_grow(&set, 128) == 0 && set.alloc == 128);
    CHECK_FAILS(bproc_nodeset_grow(&set, -5), EINVAL);
    CHECK_FAILS(bproc_nodeset_grow(NULL, 5), EFAULT);
    CHECK(set.alloc == 128);
    bproc_nodeset_free(&set);
}

static void nodeset_free(void) {
    struct bproc_node_set_t set;
    fill(&set, 5);
    bproc_nodeset_free(&set);
    CHECK(set.size == 0 && set.alloc == 0 && set.node == NULL);
    bproc_nodeset_free(&set);
    bproc_nodeset_free(NULL);
}

static void nodeset_add(void) {
    struct bproc_node_set_t set;
    fill(&set, 128);
    /* The entry lies in the set itself, which has to move. */
    CHECK(bproc_nodeset_add(&set, &set.node[127]) == 0);
    CHECK(set.size == 129 && set.node[128].node == 127);
    CHECK_FAILS(bproc_nodeset_add(&set, NULL), EFAULT);
    CHECK_FAILS(bproc_nodeset_add(NULL, &set.node[0]), EFAULT);
    struct bproc_node_info_t node = set.node[0];
    bproc_nodeset_free(&set);
    set.size = -1;
    CHECK_FAILS(bproc_nodeset_add(&set, &node), EINVAL);
}

static void nodeset_append(void) {
    struct bproc_node_set_t set, empty = BPROC_EMPTY_NODESET;
    fill(&set, 100);
    CHECK(bproc_nodeset_append(&set, &set) == 0);
    CHECK(set.size == 200 && set.node[199].node == 99);
    CHECK(bproc_nodeset_append(&set, &empty) == 0 && set.size == 200);
    CHECK_FAILS(bproc_nodeset_append(&set, NULL), EFAULT);
    CHECK_FAILS(bproc_nodeset_append(NULL, &set), EFAULT);
    empty.size = 1;
    CHECK_FAILS(bproc_nodeset_append(&set, &empty), EFAULT);
    empty.size = -1;
    CHECK_FAILS(bproc_nodeset_append(&set, &empty), EINVAL);
    CHECK_FAILS(bproc_nodeset_append(&empty, &set), EINVAL);
    bproc_nodeset_free(&set);
}

static void nodefilter(void) {
    struct bproc_node_set_t known, chosen = BPROC_EMPTY_NODESET, empty = BPROC_EMPTY_NODESET;
    fill(&known, 10);
    CHECK(bproc_nodefilter(&chosen, &known, "9,n2-.3,9,99,master,010") == 5);
    CHECK(chosen.size == 5 && chosen.node[0].node == 9 && chosen.node[1].node == 2);
    CHECK(chosen.node[2].node == 3 && chosen.node[3].node == 9);
    CHECK(chosen.node[4].node == BPROC_NODE_MASTER && chosen.node[4].mode == 0111);
    CHECK(strcmp(chosen.node[1].status, "up") == 0);
    bproc_nodeset_free(&chosen);
    CHECK(bproc_nodefilter(&chosen, &known, "allnotup,8-") == 7);
    bproc_nodeset_free(&chosen);
    CHECK(bproc_nodefilter(&chosen, &empty, "0-5,all,up") == 0);
    bproc_nodeset_free(&chosen);
    CHECK(bproc_nodefilter(&chosen, &known, "n[0-3,7],4-9:2,!3") == 7);
    CHECK(chosen.node[3].node == 7 && chosen.node[6].node == 8);
    bproc_nodeset_free(&chosen);
    CHECK_FAILS(bproc_nodefilter(&chosen, &known, "1,"), EINVAL);
    CHECK(strstr(bproc_reason(), "character 3") != NULL);
    /* The text is read where there are no nodes as well. */
    CHECK_FAILS(bproc_nodefilter(&chosen, &empty, "-1"), EINVAL);
    CHECK_FAILS(bproc_nodefilter(&chosen, &known, ""), EINVAL);
    CHECK_FAILS(bproc_nodefilter(&chosen, &known, NULL), EFAULT);
    CHECK_FAILS(bproc_nodefilter(&chosen, NULL, "all"), EFAULT);
    CHECK_FAILS(bproc_nodefilter(NULL, &known, "all"), EFAULT);
    empty.size = -1;
    CHECK_FAILS(bproc_nodefilter(&chosen, &empty, "all"), EINVAL);
    empty.size = 1;
    CHECK_FAILS(bproc_nodefilter(&chosen, &empty, "all"), EFAULT);
    CHECK(chosen.size == 0 && chosen.node == NULL);
    bproc_nodeset_free(&known);
}

static void nodespec(void) {
    struct bproc_node_set_t set = BPROC_EMPTY_NODESET;
    CHECK_FAILS(bproc_nodespec(&set, NULL), EFAULT);
    CHECK_FAILS(bproc_nodespec(NULL, "all"), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_nodespec(&set, "all"), EBUSY);
        return;
    }
    CHECK(bproc_nodespec(&set, "up") == 2 && set.node[1].node == 1);
    bproc_nodeset_free(&set);
    CHECK(bproc_nodespec(&set, "down,0,master,77") == 3);
    CHECK(set.node[0].node == 2 && set.node[1].node == 0 && set.node[2].node == -1);
    bproc_nodeset_free(&set);
    CHECK_FAILS(bproc_nodespec(&set, "0-2 "), EINVAL);
    CHECK(set.node == NULL);
}

static void groupfilter(void) {
    struct bproc_node_set_t known, chosen = BPROC_EMPTY_NODESET;
    const char *groups = "a=1-3,5\nb=9\n";
    fill(&known, 10);
    CHECK(bproc_groupfilter(&chosen, &known, "@b,@a,!2", groups) == 4);
    CHECK(chosen.node[0].node == 9 && chosen.node[1].node == 1 && chosen.node[3].node == 5);
    bproc_nodeset_free(&chosen);
    CHECK_FAILS(bproc_groupfilter(&chosen, &known, "0,@c", groups), EINVAL);
    CHECK(strstr(bproc_reason(), "character 4") != NULL);
    CHECK_FAILS(bproc_groupfilter(&chosen, &known, "@a", NULL), EINVAL);
    CHECK_FAILS(bproc_groupfilter(&chosen, &known, "@a", "a=x\n"), EPROTO);
    CHECK_FAILS(bproc_groupfilter(&chosen, &known, NULL, groups), EFAULT);
    CHECK_FAILS(bproc_groupfilter(NULL, &known, "0", groups), EFAULT);
    CHECK_FAILS(bproc_groupfilter(&chosen, NULL, "0", groups), EFAULT);
    bproc_nodeset_free(&known);
}

static void nodegroups(void) {
    char *groups = NULL;
    CHECK_FAILS(bproc_nodegroups(NULL), EFAULT);
    if (!has_cluster) {
        CHECK_FAILS(bproc_nodegroups(&groups), EBUSY);
        return;
    }
    int count = bproc_nodegroups(&groups), lines = 0;
    CHECK(count >= 0 && groups != NULL);
    for (const char *next = groups; *next; next++) lines += *next == '\n';
    CHECK(lines == count);
    free(groups);
}

const struct test_case set_cases[] = {
    {"bproc_nodeset_init", nodeset_init},
    {"bproc_nodeset_grow", nodeset_grow},
    {"bproc_nodeset_free", nodeset_free},
    {"bproc_nodeset_add", nodeset_add},
    {"bproc_nodeset_append", nodeset_append},
    {"bproc_nodefilter", nodefilter},
    {"bproc_nodespec", nodespec},
    {"bproc_groupfilter", groupfilter},
    {"bproc_nodegroups", nodegroups},
    {NULL, NULL},
};
