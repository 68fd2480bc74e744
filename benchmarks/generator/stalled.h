/* Those who never read, and what became of them. */

#include <poll.h>
#include <sys/socket.h>

#define STALLED_BUFFER 4096 /* of the kernel, so that it is soon full */
#define PATIENCE_MS 1000    /* with a server that may yet end a connection */

static void set_buffer(int fd, int size) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

/* Whether the last of these bytes are a close frame, with a code. Messages are text here. */
static bool ends_with_close(const char *bytes, size_t n) {
    for (size_t body = 2; body <= 125 && body + 2 <= n; body++)
        if (bytes[n - body - 2] == '\x88' && bytes[n - body - 1] == (char)body) return true;
    return false;
}

/* Reads all that waits for one who never read, to see whether an end is behind it: a server that
   closes cannot say so while its kernel has not got rid of what was written before. */
static bool reads_an_end(int fd) {
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    static char bytes[256 * 1024];
    set_buffer(fd, sizeof bytes);
    while (poll(&readable, 1, PATIENCE_MS) > 0) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0 || ends_with_close(bytes, (size_t)n)) return true;
    }
    return false;
}
