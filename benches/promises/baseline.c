/* What musterd is measured against: loops that do one job each and nothing else, single-threaded.
 *
 *   baseline restart COUNT PROGRAM ARG   keep one process running: wait for its end, make the next one
 *   baseline many COUNT PROGRAM ARG      make COUNT processes, then wait for SIGTERM, kill them all and wait for them all
 *
 * A process is made as musterd makes it: it shares memory until it executes its program, and gets a session of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static pid_t spawn(char **argv) {
    sigset_t none;
    sigemptyset(&none);
    pid_t pid = vfork();
    if (pid == 0) {
        setsid();
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(argv[0], argv, environ);
        _exit(127);
    }
    if (pid < 0) {
        perror("vfork");
        exit(1);
    }
    return pid;
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    int count = atoi(argv[2]);
    char **program = argv + 3;
    if (!strcmp(argv[1], "restart")) {
        for (int made = 0; made < count; made++) {
            spawn(program);
            wait(NULL);
        }
        return 0;
    }
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    pid_t *pids = calloc(count, sizeof *pids);
    for (int i = 0; i < count; i++) pids[i] = spawn(program);
    int signal_number;
    sigwait(&term, &signal_number);
    for (int i = 0; i < count; i++) kill(pids[i], SIGTERM);
    for (int left = count; left > 0; left--) wait(NULL);
    return 0;
}
