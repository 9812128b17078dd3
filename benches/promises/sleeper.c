/* A program to supervise: reports on the FIFO argv[1] when it reached main, then sleeps until a signal kills it. */
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (argc > 1) {
        int64_t told[2] = {getpid(), now.tv_sec * 1000000000LL + now.tv_nsec};
        int fifo = open(argv[1], O_WRONLY | O_CLOEXEC);
        if (fifo < 0 || write(fifo, told, sizeof told) != sizeof told) return 1;
        close(fifo);
    }
    pause();
    return 0;
}
