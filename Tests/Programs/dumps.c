// Images in files and streams, by way of the library:
//   dumps execdump FILE COMMAND [ARGUMENT...]   bproc_execdump to FILE ("-": descriptor 1)
//   dumps undump FILE                           bproc_undump from FILE ("-": descriptor 0)
//   dumps stream COUNT                          COUNT images from descriptor 0, each in a child,
//                                               then what is left of it to descriptor 1
//   dumps again FILE                            bproc_dump to FILE.0, then, where that is
//                                               resumed, to FILE.1 and FILE.2
//   dumps slow FILE                             the bytes of FILE through a socket, in small pieces
//   dumps sealed COMMAND [ARGUMENT...]          bproc_undump of what bproc_capture gave
//   dumps squeezed FILE                         untouched, with hardly any memory to be had
//   dumps untouched FILE                        a refused undump leaves everything as it was
// A call that fails says errno and sentence, and ends with status 9.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int failed(const char *call) {
    int error = errno;
    printf("%s: %d: %s\n", call, error, bproc_reason());
    return 9;
}

static int open_for(const char *name, int flags, int standard) {
    int fd = strcmp(name, "-") ? open(name, flags, 0700) : standard;
    if (fd < 0) {
        perror(name);
        exit(8);
    }
    return fd;
}

static int stream(int count) {
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            bproc_undump(0);
            _exit(failed("undump"));
        }
        int status = 0;
        if (waitpid(child, &status, 0) != child) return 7;
        printf("status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    char rest[100];
    ssize_t length = read(0, rest, sizeof rest);
    printf("rest %.*s\n", (int)(length < 0 ? 0 : length), rest);
    return 0;
}

static volatile sig_atomic_t caught;
static void on_signal(int number) { caught = number; }

static int open_descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 1000; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int untouched(const char *name) {
    int fd = open_for(name, O_RDONLY, 0);
    signal(SIGUSR1, on_signal);
    sigset_t mask, now;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    int before = open_descriptors();
    if (bproc_undump(fd) != -1) return 6;
    int status = failed("undump");
    sigprocmask(SIG_SETMASK, NULL, &now);
    raise(SIGUSR1);
    if (caught != SIGUSR1 || !sigismember(&now, SIGUSR2) || sigismember(&now, SIGUSR1)) return 5;
    return open_descriptors() == before ? status : 4;
}

// The reader's descriptor does not block: the call has to wait by itself.
static int slow(const char *name) {
    int ends[2], file = open_for(name, O_RDONLY, 0);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return 3;
    pid_t child = fork();
    if (child == 0) {
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
        close(ends[0]);
        bproc_undump(ends[1]);
        _exit(failed("undump"));
    }
    char piece[30000];
    ssize_t length;
    close(ends[1]);
    while ((length = read(file, piece, sizeof piece)) > 0) {
        for (ssize_t done = 0, sent; done < length; done += sent) {
            sent = send(ends[0], piece + done, (size_t)(length - done), MSG_NOSIGNAL);
            if (sent < 0) return 4;
        }
        usleep(200);
    }
    int status = 0;
    waitpid(child, &status, 0);
    printf("status %d\n", WEXITSTATUS(status));
    return 0;
}

static int sealed(char **list) {
    int image = bproc_capture(list[0], list, NULL, BPROC_CAPTURE_UNPACKED, NULL);
    if (image < 0) return failed("capture");
    // The capture leaves the file's position at its end or wherever it was: an image begins at 0.
    lseek(image, 0, SEEK_SET);
    bproc_undump(image);
    return failed("undump");
}

static int again(const char *name) {
    int resumed = 0;
    for (int i = 0; i < 3; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s.%d", name, i);
        unlink(file);
        int fd = open_for(file, O_WRONLY | O_CREAT | O_TRUNC, 1);
        long written = bproc_dump(fd, 0);
        if (written < 0) return failed("dump");
        if (written == 0) printf("resumed at %d, time %d\n", i, ++resumed);
        else close(fd);
        if (resumed == 0) return 0;
    }
    printf("end\n");
    return 5;
}

int main(int count, char **list) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count < 3) return 2;
    if (!strcmp(list[1], "execdump") && count > 3) {
        int fd = open_for(list[2], O_WRONLY | O_CREAT | O_TRUNC, 1);
        bproc_execdump(fd, 0, list[3], list + 3, NULL);
        return failed("execdump");
    }
    if (!strcmp(list[1], "undump")) {
        bproc_undump(open_for(list[2], O_RDONLY, 0));
        return failed("undump");
    }
    if (!strcmp(list[1], "stream")) return stream(atoi(list[2]));
    if (!strcmp(list[1], "again")) return again(list[2]);
    if (!strcmp(list[1], "slow")) return slow(list[2]);
    if (!strcmp(list[1], "sealed")) return sealed(list + 2);
    if (!strcmp(list[1], "squeezed")) {
        // Half a megabyte more than there is: too little for any image.
        long pages = 0;
        FILE *sizes = fopen("/proc/self/statm", "r");
        if (!sizes || fscanf(sizes, "%ld", &pages) != 1) return 3;
        fclose(sizes);
        struct rlimit limit = {(rlim_t)pages * 4096 + (512 << 10), RLIM_INFINITY};
        if (setrlimit(RLIMIT_AS, &limit) < 0) return 3;
        return untouched(list[2]);
    }
    if (!strcmp(list[1], "untouched")) return untouched(list[2]);
    return 2;
}
