// A library whose constructor starts a thread.
#include <pthread.h>
#include <unistd.h>

static void *thread_main(void *argument) {
    for (;;) pause();
    return argument;
}

__attribute__((constructor)) static void start(void) {
    pthread_t thread;
    pthread_create(&thread, 0, thread_main, 0);
}
