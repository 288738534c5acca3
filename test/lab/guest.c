// guest: what runs inside the virtual machine of the lab, and the TCP stream that is measured to it.
//
//   serve PORT           in the guest: sends every UDP datagram and every TCP byte back
//   tcp IP PORT US       outside: one TCP connection to an echo, a number on it every US microseconds.
//                        "window FROM TO" on standard input is answered with what happened between two times of
//                        CLOCK_MONOTONIC in nanoseconds: "window SENT BACK SILENCE SILENCE_BEGAN". Ends with "broken"
//                        when the connection does, or when a number comes back out of order.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 32, KEPT = 1 << 18 };

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

// An instrument that waits for its turn on a busy machine measures the machine.
static void urgent(void) {
  struct sched_param high = {.sched_priority = 10};
  sched_setscheduler(0, SCHED_FIFO, &high);
}

static _Noreturn void serve(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)}, from;
  int yes = 1;
  struct pollfd sockets[CLIENTS] = {{socket(AF_INET, SOCK_DGRAM, 0), POLLIN, 0},
                                    {socket(AF_INET, SOCK_STREAM, 0), POLLIN, 0}};
  int used = 2;
  setsockopt(sockets[1].fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  for (int i = 0; i < 2; i++)
    if (bind(sockets[i].fd, (void *)&address, sizeof address) < 0) fail("bind");
  if (listen(sockets[1].fd, 8) < 0) fail("listen");
  urgent();
  printf("ready\n");
  char bytes[2048];
  for (;;) {
    poll(sockets, used, -1);
    socklen_t size = sizeof from;
    if (sockets[0].revents & POLLIN) {
      ssize_t length = recvfrom(sockets[0].fd, bytes, sizeof bytes, 0, (void *)&from, &size);
      if (length >= 0) sendto(sockets[0].fd, bytes, length, MSG_DONTWAIT, (void *)&from, size);
    }
    for (int i = 2; i < used; i++) {
      if (sockets[i].revents == 0) continue;
      ssize_t length = recv(sockets[i].fd, bytes, sizeof bytes, 0);
      if (length > 0 && send(sockets[i].fd, bytes, length, MSG_NOSIGNAL) == length) continue;
      close(sockets[i].fd);
      sockets[i--] = sockets[--used];
    }
    if ((sockets[1].revents & POLLIN) && used < CLIENTS) {
      int client = accept(sockets[1].fd, NULL, NULL);
      if (client < 0) continue;
      setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      sockets[used++] = (struct pollfd){client, POLLIN, 0};
    }
  }
}

static int64_t sent_at[KEPT], back_at[KEPT];
static uint64_t sent, back;

static void window(int64_t from, int64_t to) {
  uint64_t out = 0, in = 0;
  int64_t silence = 0, began = from, last = from;
  for (uint64_t i = sent > KEPT ? sent - KEPT : 0; i < sent; i++)
    if (sent_at[i % KEPT] >= from && sent_at[i % KEPT] <= to) out++;
  for (uint64_t i = back > KEPT ? back - KEPT : 0; i < back; i++) {
    int64_t at = back_at[i % KEPT];
    if (at < from || at > to) continue;
    in++;
    if (at - last > silence) silence = at - last, began = last;
    last = at;
  }
  if (to - last > silence) silence = to - last, began = last;
  printf("window %llu %llu %lld %lld\n", (unsigned long long)out, (unsigned long long)in, (long long)silence,
         (long long)began);
}

static int broken(const char *why) {
  printf("broken %s\n", why);
  return 1;
}

static int tcp(const char *ip, int port, long period_us) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1, timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, ip, &to.sin_addr) != 1) fail(ip);
  if (connect(fd, (void *)&to, sizeof to) < 0) fail("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  struct timespec period = {period_us / 1000000, period_us % 1000000 * 1000};
  timerfd_settime(timer, 0, &(struct itimerspec){period, period}, NULL);
  urgent();
  printf("ready\n");
  struct pollfd ready[3] = {{fd, POLLIN, 0}, {timer, POLLIN, 0}, {0, POLLIN, 0}};
  static char text[4096], bytes[1 << 16];
  size_t filled = 0, typed = 0;
  for (;;) {
    poll(ready, 3, -1);
    if (ready[0].revents != 0) {
      ssize_t length = recv(fd, bytes + filled, sizeof bytes - filled, MSG_DONTWAIT);
      if (length == 0) return broken("closed by the other end");
      if (length < 0 && errno != EAGAIN) return broken(strerror(errno));
      filled += length < 0 ? 0 : length;
      size_t whole = filled / sizeof back * sizeof back;
      for (size_t i = 0; i < whole; i += sizeof back) {
        uint64_t number;
        memcpy(&number, bytes + i, sizeof number);
        if (number != back) return broken("a number came out of order");
        back_at[back++ % KEPT] = now();
      }
      memmove(bytes, bytes + whole, filled -= whole);
    }
    uint64_t due;
    if ((ready[1].revents & POLLIN) && read(timer, &due, sizeof due) == sizeof due && sent - back < KEPT / 2) {
      sent_at[sent % KEPT] = now();
      if (send(fd, &sent, sizeof sent, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof sent) sent++;
    }
    if (ready[2].revents != 0) {
      ssize_t length = read(0, text + typed, sizeof text - typed - 1);
      if (length <= 0) return 0;
      text[typed += length] = 0;
      char *line = text, *end;
      long long from, until;
      for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
        if (sscanf(line, "window %lld %lld", &from, &until) == 2) window(from, until);
      memmove(text, line, typed -= line - text);
    }
  }
}

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (count == 3 && strcmp(words[1], "serve") == 0) serve(atoi(words[2]));
  if (count == 5 && strcmp(words[1], "tcp") == 0) return tcp(words[2], atoi(words[3]), atol(words[4]));
  fprintf(stderr, "usage: see the head of guest.c\n");
  return 2;
}
