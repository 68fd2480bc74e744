/* The floor: the least that a single-threaded echo server does, epoll, recv and send.
 *
 *     floor PORT
 *
 * It believes what it is sent: every read holds whole frames, masked, of up to 125 bytes, and the
 * handshake has the key of load.c. So it measures the kernel, and little else. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 1024, BUFFER = 65536, HEAD = 6, CLOSE = 8 };

static const char SWITCHING[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/* Unmasks whole frames in place, and moves them over their masks; gives the bytes that are left. */
static ssize_t echo(unsigned char *data, ssize_t n)
{
    unsigned char *from = data, *to = data, *end = data + n;
    while (from < end) {
        int length = from[1] & 0x7F;
        unsigned char mask[4];
        memcpy(mask, from + 2, 4);
        to[0] = from[0];
        to[1] = (unsigned char)length;
        for (int i = 0; i < length; i++)
            to[2 + i] = from[HEAD + i] ^ mask[i & 3];
        from += HEAD + length;
        to += 2 + length;
    }
    return to - data;
}

int main(int count, char **arguments)
{
    static unsigned char buffer[BUFFER];
    static struct epoll_event events[EVENTS];
    struct sockaddr_in address = {.sin_family = AF_INET};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener};
    if (count != 2)
        return 2;
    address.sin_port = htons((unsigned short)atoi(arguments[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        return 1;
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            ssize_t n;
            if (fd == listener) {
                fd = accept(listener, NULL, NULL);
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                wanted.data.fd = fd;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
                continue;
            }
            n = recv(fd, buffer, sizeof buffer, 0);
            if (n <= 0)
                close(fd);
            else if (buffer[0] == 'G')
                send(fd, SWITCHING, sizeof SWITCHING - 1, MSG_NOSIGNAL);
            else {
                int last = (buffer[0] & 0x0F) == CLOSE;
                send(fd, buffer, (size_t)echo(buffer, n), MSG_NOSIGNAL);
                if (last)
                    close(fd);
            }
        }
    }
}
