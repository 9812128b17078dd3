/* The baseline for musterd: single-threaded loops that do one job each and nothing else.
 *
 *   baseline restart COUNT PROGRAM ARG   keep one process running: wait for its exit, start the next one
 *   baseline rereading COUNT PROGRAM ARG the same, with a pipe for each of its two output streams, read until end of file
 *   baseline many COUNT PROGRAM ARG      start COUNT processes, then wait for SIGTERM, kill all and reap all
 *   baseline piped COUNT PROGRAM ARG     the same, with a pipe for each of their two output streams, read until end of file
 *
 * Processes are created as musterd does: memory is shared until exec, and each gets a new session.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* With `pipes`, stores the read ends there. */
static pid_t spawn(char **argv, int *pipes) {
    int out[2], err[2];
    if (pipes && (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))) {
        perror("pipe2");
        exit(1);
    }
    sigset_t none;
    sigemptyset(&none);
    pid_t pid = vfork();
    if (pid == 0) {
        setsid();
        if (pipes) {
            dup2(out[1], 1);
            dup2(err[1], 2);
        }
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(argv[0], argv, environ);
        _exit(127);
    }
    if (pid < 0) {
        perror("vfork");
        exit(1);
    }
    if (pipes) {
        close(out[1]);
        close(err[1]);
        pipes[0] = out[0];
        pipes[1] = err[0];
    }
    return pid;
}

/* Reads the pipes until end of file. */
static void drain(int *pipes, int count) {
    char buffer[4096];
    for (int i = 0; i < count; i++) {
        while (read(pipes[i], buffer, sizeof buffer) > 0) {}
        close(pipes[i]);
    }
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    int count = atoi(argv[2]);
    char **program = argv + 3;
    int is_rereading = !strcmp(argv[1], "rereading");
    if (is_rereading || !strcmp(argv[1], "restart")) {
        int streams[2];
        for (int made = 0; made < count; made++) {
            spawn(program, is_rereading ? streams : NULL);
            wait(NULL);
            if (is_rereading) drain(streams, 2);
        }
        return 0;
    }
    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    pid_t *pids = calloc(count, sizeof *pids);
    int *pipes = strcmp(argv[1], "piped") ? NULL : calloc(2 * count, sizeof *pipes);
    for (int i = 0; i < count; i++) pids[i] = spawn(program, pipes ? pipes + 2 * i : NULL);
    int signal_number;
    sigwait(&term, &signal_number);
    for (int i = 0; i < count; i++) kill(pids[i], SIGTERM);
    for (int left = count; left > 0; left--) wait(NULL);
    if (pipes) drain(pipes, 2 * count);
    return 0;
}
