// Where this process is. A process that was restored on a node is told so by the restore code,
// which writes the record here; its environment still tells of the place where it was started.
#define _GNU_SOURCE
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Aligned, so that it never lies in two pages: they may be two mappings after a move.
struct bproc_local_place bplib_place __attribute__((aligned(256)));

_Static_assert(sizeof(struct bproc_local_place) <= 256, "one page holds all of it");

bool bplib_has_place(void) {
    return bplib_place.magic == BPROC_LOCAL_PLACE_MAGIC &&
           (bplib_place.flags & BPROC_LOCAL_PLACE_ON_NODE);
}

char **bplib_environment_here(char *const envp[]) {
    static const char name[] = "BPROC_SOCKET=";
    size_t count = 0;
    while (envp[count]) count++;
    char **list = malloc((count + 2) * sizeof *list);
    char *own = malloc(sizeof name + sizeof bplib_place.socket);
    if (!list || !own) {
        free(list);
        free(own);
        return NULL;
    }
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(envp[i], name, strlen(name)) != 0) list[kept++] = envp[i];
    }
    (void)sprintf(own, "%s%.*s", name, (int)sizeof bplib_place.socket, bplib_place.socket);
    list[kept++] = own;
    list[kept] = NULL;
    return list;
}

void bplib_free_environment(char **environment) {
    size_t count = 0;
    while (environment[count]) count++;
    free(environment[count - 1]);
    free(environment);
}
