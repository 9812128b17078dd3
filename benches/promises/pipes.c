/* Load generators and baselines for musterd's data plane.
 *
 *   pipes write BYTES chunk|line         write lines of random lengths: 64 KiB at once, or each on its own; 0 means without end
 *   pipes stamp COUNT FILE               every 2 ms append a line with the time of its write; COUNT times
 *   pipes tail COUNT FILE                poll a file without a pause, and print the median age of its lines in ns
 *   pipes copy|splice COUNT DIRECTORY BYTES HOW
 *                                        a bare loop: COUNT writers into files, without parsing; prints seconds and CPU
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int write_lines(long long left, int by_line) {
    static char text[CHUNK];
    unsigned seed = 1;
    for (int i = 0; i < CHUNK;) {
        seed = seed * 1103515245 + 12345;
        for (int length = 20 + (seed >> 16) % 180; length > 0 && i < CHUNK - 1; length--) text[i++] = 'a' + i % 26;
        text[i++] = '\n';
    }
    int endless = left == 0;
    while (endless || left > 0) {
        for (char *at = text; at < text + CHUNK && (endless || left > 0);) {
            long long length = by_line ? (char *)memchr(at, '\n', text + CHUNK - at) + 1 - at : CHUNK;
            if (!endless && length > left) length = left;
            ssize_t written = write(1, at, length);
            if (written < 0) return 1;
            at += written;
            left -= written;
        }
    }
    return 0;
}

static int stamp(int count) {
    struct timespec pause = {0, 2000000};
    for (int i = 0; i < count; i++) {
        char line[32];
        nanosleep(&pause, NULL);
        int length = sprintf(line, "%020lld\n", now());
        if (write(1, line, length) != length) return 1;
    }
    return 0;
}

static int by_value(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static int tail(int count, const char *path) {
    int fd;
    while ((fd = open(path, O_RDONLY)) < 0) usleep(1000);
    long long *ages = calloc(count, sizeof *ages);
    for (int i = 0; i < count; i++) {
        char line[22] = "";
        while (pread(fd, line, 21, i * 21LL) < 21) {}
        ages[i] = now() - atoll(line);
    }
    qsort(ages, count, sizeof *ages, by_value);
    printf("%lld %lld\n", ages[count / 2], ages[count * 99 / 100]);
    return 0;
}

static int collect(int is_splice, int count, const char *directory, char **writer, char *self) {
    struct pollfd in[64];
    int out[64], left = count;
    char *buffer = malloc(CHUNK);
    long long began = now();
    for (int i = 0; i < count; i++) {
        int ends[2];
        char path[4096];
        if (pipe2(ends, O_CLOEXEC)) return 1;
        snprintf(path, sizeof path, "%s/p%d.log", directory, i);
        out[i] = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | (is_splice ? 0 : O_APPEND), 0644);
        if (vfork() == 0) {
            char *argv[] = {self, "write", writer[0], writer[1], NULL};
            dup2(ends[1], 1);
            execv(self, argv);
            _exit(127);
        }
        close(ends[1]);
        in[i] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    }
    while (left > 0) {
        if (count > 1) poll(in, count, -1);
        for (int i = 0; i < count; i++) {
            if (in[i].fd < 0 || (count > 1 && !in[i].revents)) continue;
            ssize_t got;
            if (is_splice) {
                got = splice(in[i].fd, NULL, out[i], NULL, CHUNK, SPLICE_F_MOVE);
            } else {
                got = read(in[i].fd, buffer, CHUNK);
                if (got > 0 && write(out[i], buffer, got) != got) return 1;
            }
            if (got < 0) return 1;
            if (got == 0) {
                close(in[i].fd);
                in[i].fd = -1;
                left--;
            }
        }
    }
    double seconds = (now() - began) / 1e9;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    while (wait(NULL) > 0) {}
    printf("%f %f\n", seconds, cpu);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    if (!strcmp(argv[1], "write")) return write_lines(atoll(argv[2]), !strcmp(argv[3], "line"));
    if (!strcmp(argv[1], "stamp")) return stamp(atoi(argv[2]));
    if (!strcmp(argv[1], "tail")) return tail(atoi(argv[2]), argv[3]);
    if (argc < 6) return 2;
    return collect(!strcmp(argv[1], "splice"), atoi(argv[2]), argv[3], argv + 4, argv[0]);
}
