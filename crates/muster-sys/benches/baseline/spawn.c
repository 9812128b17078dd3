/* The floor: how long the kernel takes to make a process in one of three ways, execute a tiny program and reap it, with
 * nothing else done. Usage: spawn fork|clone|vfork COUNT BALLAST_MB PROGRAM; prints microseconds per process. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *program;
static char *arguments[2];
static char *environment[1];

static int child(void *unused) {
    (void)unused;
    execve(program, arguments, environment);
    _exit(127);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    const char *mode = argv[1];
    int count = atoi(argv[2]);
    size_t ballast = (size_t)atoi(argv[3]) << 20;
    program = arguments[0] = argv[4];
    if (ballast) memset(malloc(ballast), 1, ballast);
    size_t size = 64 << 10;
    char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int flags = !strcmp(mode, "fork") ? 0 : !strcmp(mode, "clone") ? CLONE_VM : CLONE_VM | CLONE_VFORK;
    double begin = now();
    for (int i = 0; i < count; i++) {
        int status;
        pid_t pid = clone(child, stack + size, flags | SIGCHLD, NULL);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 42) return 1;
    }
    printf("%.1f\n", (now() - begin) / count);
    return 0;
}
