// A library whose constructor makes a process.
#include <unistd.h>

__attribute__((constructor)) static void start(void) {
    if (fork() == 0)
        for (;;) pause();
}
