// guest: what runs inside the virtual machine of the lab, and the TCP stream that is measured to it.
//
//   serve PORT           in the guest: sends every UDP datagram and every TCP byte back, in both families; the datagram
//                        "carrier?" is answered with how often the carrier of eth0 has changed since the guest was booted
//   tcp IP PORT US       outside: one TCP connection to an echo, a number on it every US microseconds.
//                        "window FROM TO" on standard input is answered with what happened between two times of
//                        CLOCK_MONOTONIC in nanoseconds: "window SENT BACK SILENCE SILENCE_BEGAN". Ends with "broken"
//                        when the connection does, or when a number comes back out of order.
//   taps NAME COUNT IP GATEWAY
//                        makes the taps NAME0, NAME1 ... and is the guest behind each: IP and upwards, MAC
//                        02:00:<ip>, answers ARP. Each announces itself as a migrated guest does, by gratuitous ARP
//                        at 0, 50, 200, 450 and 800 ms, and asks for its gateway GATEWAY once a second until it is
//                        answered, as whoever has something to say. Prints "up TIME" when all are up, "gone TIME" when
//                        all have vanished, which is at the end of standard input.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

static ssize_t carrier_changes(char *bytes, size_t room) {
  int fd = open("/sys/class/net/eth0/carrier_changes", O_RDONLY);
  ssize_t length = read(fd, bytes, room);
  close(fd);
  return length;
}

static _Noreturn void serve(int port) {
  // IPv4 as well (RFC 3493 section 3.7).
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)}, from;
  int yes = 1;
  struct pollfd sockets[CLIENTS] = {{socket(AF_INET6, SOCK_DGRAM, 0), POLLIN, 0},
                                    {socket(AF_INET6, SOCK_STREAM, 0), POLLIN, 0}};
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
      if (length == 8 && memcmp(bytes, "carrier?", 8) == 0) length = carrier_changes(bytes, sizeof bytes);
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
  int family = strchr(ip, ':') == NULL ? AF_INET : AF_INET6;
  int fd = socket(family, SOCK_STREAM, 0), yes = 1, timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  int is4 = family == AF_INET;
  if (inet_pton(family, ip, is4 ? (void *)&to4.sin_addr : (void *)&to6.sin6_addr) != 1) fail(ip);
  if (connect(fd, is4 ? (void *)&to4 : (void *)&to6, is4 ? sizeof to4 : sizeof to6) < 0) fail("connect");
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

// ---- taps ----------------------------------------------------------------------------------------------------------

enum { TAPS = 1024, FRAME = 60 };

static void arp(uint8_t *frame, const uint8_t *to, int opcode, uint32_t ip, const uint8_t *target_mac, uint32_t target) {
  static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0};
  memset(frame, 0, FRAME);
  memcpy(frame, to, 6);
  frame[6] = frame[22] = 2;
  memcpy(frame + 8, &ip, 4);
  memcpy(frame + 12, head, sizeof head);
  frame[21] = opcode;
  memcpy(frame + 22, frame + 6, 6);
  memcpy(frame + 28, &ip, 4);
  memcpy(frame + 32, target_mac, 6);
  memcpy(frame + 38, &target, 4);
}

static int taps(const char *name, int count, const char *first, const char *gateway) {
  static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255}, zero[6];
  static const int due_ms[] = {0, 50, 200, 450, 800};
  static struct pollfd ready[TAPS + 1];
  static int64_t up_at[TAPS];
  static int said[TAPS], answered[TAPS];
  uint8_t frame[2048], answer[FRAME];
  struct in_addr base, router;
  int control = socket(AF_INET, SOCK_DGRAM, 0);
  if (inet_pton(AF_INET, first, &base) != 1 || inet_pton(AF_INET, gateway, &router) != 1 || count > TAPS) fail(first);
  for (int i = 0; i < count; i++) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s%d", name, i);
    ready[i] = (struct pollfd){open("/dev/net/tun", O_RDWR | O_NONBLOCK), POLLIN, 0};
    if (ready[i].fd < 0 || ioctl(ready[i].fd, TUNSETIFF, &request) < 0) fail("tap");
    request.ifr_flags = IFF_UP;
    if (ioctl(control, SIOCSIFFLAGS, &request) < 0) fail("tap up");
    up_at[i] = now();
  }
  printf("up %lld\n", (long long)now());
  ready[count] = (struct pollfd){0, POLLIN, 0};
  for (;;) {
    poll(ready, count + 1, 10);
    for (int i = 0; i < count; i++) {
      uint32_t ip = htonl(ntohl(base.s_addr) + i), asked, asker;
      for (int64_t age = (now() - up_at[i]) / 1000000; !answered[i]; said[i]++) {
        int announcing = said[i] < 5;
        if (age < (announcing ? due_ms[said[i]] : (said[i] - 4) * 1000)) break;
        arp(answer, broadcast, 1, ip, zero, announcing ? ip : router.s_addr);
        if (write(ready[i].fd, answer, FRAME) < 0) perror("announce");
      }
      for (ssize_t length; (length = read(ready[i].fd, frame, sizeof frame)) > 0;) {
        memcpy(&asked, frame + 38, 4);
        memcpy(&asker, frame + 28, 4);
        if (length >= 42 && frame[13] == 6 && frame[21] == 2 && asker == router.s_addr) answered[i] = 1;
        if (length < 42 || frame[12] != 8 || frame[13] != 6 || frame[21] != 1 || asked != ip) continue;
        arp(answer, frame + 22, 2, ip, frame + 22, asker);
        if (write(ready[i].fd, answer, FRAME) < 0) perror("answer");
      }
    }
    char byte;
    if (ready[count].revents != 0 && read(0, &byte, 1) <= 0) break;
  }
  for (int i = 0; i < count; i++) close(ready[i].fd);
  printf("gone %lld\n", (long long)now());
  return 0;
}

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (count == 3 && strcmp(words[1], "serve") == 0) serve(atoi(words[2]));
  if (count == 5 && strcmp(words[1], "tcp") == 0) return tcp(words[2], atoi(words[3]), atol(words[4]));
  if (count == 6 && strcmp(words[1], "taps") == 0) return taps(words[2], atoi(words[3]), words[4], words[5]);
  fprintf(stderr, "usage: see the head of guest.c\n");
  return 2;
}
