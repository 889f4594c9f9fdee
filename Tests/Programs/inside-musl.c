// Another C library than glibc: its own thread-local storage, threads, allocator and vDSO lookup.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static __thread int value = 5;

static void *run(void *argument) {
    value++;
    return value == 6 ? argument : NULL;
}

int main(int count, char **list) {
    pthread_t thread;
    void *result = NULL;
    int status = 0;
    struct timespec time = {0};
    if (count != 2 || strcmp(list[1], "argument")) return 1;
    if (pthread_create(&thread, NULL, run, &value) != 0) return 2;
    if (pthread_join(thread, &result) != 0 || result != &value || value != 5) return 3;
    char *block = malloc(9 << 20);
    if (!block) return 4;
    memset(block, 1, 9 << 20);
    pid_t child = fork();
    if (child == 0) _exit(23);
    if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 23) return 5;
    if (clock_gettime(CLOCK_MONOTONIC, &time) != 0 || time.tv_sec == 0) return 6;
    printf("musl: all well\n");
    return 42;
}
