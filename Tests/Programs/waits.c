// A library whose constructor says its process number in the file named by BPROC_TEST_FILE and
// never returns: whoever loads it stays between exec and entry point.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void wait_for_ever(void) {
    int file = open(getenv("BPROC_TEST_FILE"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dprintf(file, "%d\n", getpid());
    close(file);
    for (;;) pause();
}
