/* The floor: how long the kernel takes to create a process in one of three ways, execute a tiny program and reap it. Bare,
 * or with the steps that every supervisor needs: a session, stdin, stdout and stderr, an umask, the environment, a status pipe.
 * Usage: spawn fork|clone|vfork bare|work COUNT BALLAST_MB PROGRAM
 * Prints microseconds per process: elapsed time, and processor time including the children's. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *program;
static char *arguments[2];
static char *empty[1];
static int null_fd;
static int with_work;

static int child(void *unused) {
    (void)unused;
    if (with_work) {
        setsid();
        for (int fd = 0; fd < 3; fd++) dup3(null_fd, fd, 0);
        umask(022);
    }
    execve(program, arguments, with_work ? environ : empty);
    _exit(127);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double cpu_of(int who) {
    struct rusage used;
    getrusage(who, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    const char *mode = argv[1];
    with_work = !strcmp(argv[2], "work");
    int count = atoi(argv[3]);
    size_t ballast = (size_t)atoi(argv[4]) << 20;
    program = arguments[0] = argv[5];
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (ballast) memset(malloc(ballast), 1, ballast);
    size_t size = 64 << 10;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int flags = !strcmp(mode, "fork") ? 0 : !strcmp(mode, "clone") ? CLONE_VM : CLONE_VM | CLONE_VFORK;
    double begin = now();
    for (int i = 0; i < count; i++) {
        int status, told[2];
        if (with_work && pipe2(told, O_CLOEXEC)) return 1;
        pid_t pid = clone(child, stack + size, flags | SIGCHLD, NULL);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 42) return 1;
        if (with_work) {
            close(told[0]);
            close(told[1]);
        }
    }
    double each = (now() - begin) / count;
    printf("%.1f %.1f\n", each, (cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN)) / count);
    return 0;
}
