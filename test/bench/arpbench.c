// arpbench: measures any daemon that turns ARP or Neighbor Discovery into kernel host routes.
//
//   arpbench lat   HOSTNS HOSTIF ROUTERNS N GAP_US IP      one gratuitous ARP at a time; time until RTM_NEWROUTE for it
//   arpbench burst HOSTNS HOSTIF ROUTERNS N PER_SECOND IP  N gratuitous ARPs for N new hosts (0: at full speed); time
//                                                          until all their routes are in the kernel
//   arpbench del   HOSTNS HOSTIF ROUTERNS N QUIET_MS IP    counts RTM_DELROUTE for N hosts until it is quiet
//   arpbench tap   - PREFIX ROUTERNS N WAIT_US IP          N times: a new tap PREFIX<i> in the router, set up; WAIT_US
//                                                          later the first frame of a new host behind it, as with lat
//
// Frames: broadcast ARP request, sender IP == target IP, MAC 02:00:<ip>; with an IPv6 address as IP unsolicited neighbour
// advertisements, MAC 02:00:<its last four bytes>. A forked child plays the hosts: it answers questions for them (unless
// NOANSWER is set), as real hosts would.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nd.h"

enum { FRAME = 60, LONGEST = ND_FRAME, LOST_AFTER_MS = 2000, GIVE_UP_MS = 8000, LOOK_EVERY_US = 1000, NAP_US = 500 };

static uint32_t first, hosts;
static int packets, routes, is_ipv6;

_Noreturn static void fail(const char *what) {
  perror(what);
  exit(2);
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void sleep_us(long us) {
  struct timespec t = {us / 1000000, us % 1000000 * 1000};
  while (nanosleep(&t, &t) < 0 && errno == EINTR) {}
}

// An instrument that waits for its turn on a busy machine measures the machine.
static void urgent(void) {
  struct sched_param high = {.sched_priority = 10};
  sched_setscheduler(0, SCHED_FIFO, &high);
}

static void enter(const char *netns) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", netns);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) fail(netns);
  close(fd);
}

static int packet_socket(const char *name, int protocol) {
  int fd = socket(AF_PACKET, SOCK_RAW, htons(protocol)), size = 64 << 20;
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = if_nametoindex(name)};
  if (fd < 0 || address.sll_ifindex == 0 || bind(fd, (void *)&address, sizeof address) < 0) fail(name);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  return fd;
}

static void arp(uint8_t *frame, int opcode, uint32_t sender_ip, const uint8_t *target_mac, uint32_t target_ip) {
  static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0};
  uint32_t sender = htonl(sender_ip), target = htonl(target_ip);
  memset(frame, 0, FRAME);
  memset(frame, 0xff, 6);
  frame[6] = 2;
  memcpy(frame + 8, &sender, 4);
  memcpy(frame + 12, head, sizeof head);
  frame[21] = opcode;
  memcpy(frame + 22, frame + 6, 6);
  memcpy(frame + 28, &sender, 4);
  memcpy(frame + 38, &target, 4);
  if (target_mac != NULL) memcpy(frame, target_mac, 6), memcpy(frame + 32, target_mac, 6);
}

static void mac_of(uint8_t *mac, uint32_t ip) {
  uint32_t low = htonl(ip);
  mac[0] = 2, mac[1] = 0;
  memcpy(mac + 2, &low, 4);
}

static void announce(int fd, uint32_t ip) {
  uint8_t frame[LONGEST], mac[6];
  int length = FRAME;
  mac_of(mac, ip);
  if (is_ipv6) length = nd_announcement(frame, mac, ip);
  else arp(frame, 1, ip, NULL, ip);
  while (write(fd, frame, length) < 0)
    if (errno != ENOBUFS && errno != EAGAIN) fail("send");
}

// The answer to a question for one of our hosts. Returns its length, 0 when the frame is no such question.
static int answer_to(const uint8_t *question, ssize_t length, uint8_t *answer) {
  if (is_ipv6) {
    uint32_t number;
    uint8_t mac[6];
    if (!nd_asked(question, length, &number) || number - first >= hosts) return 0;
    mac_of(mac, number);
    return nd_answer(answer, mac, question, number);
  }
  if (length < 42 || question[12] != 8 || question[13] != 6 || question[20] != 0 || question[21] != 1) return 0;
  uint32_t asker, target;
  memcpy(&asker, question + 28, 4);
  memcpy(&target, question + 38, 4);
  target = ntohl(target);
  if (target < first || target >= first + hosts) return 0;
  arp(answer, 2, target, question + 22, ntohl(asker));
  return FRAME;
}

// With a nap between their answers many hosts cost this machine, on which they should not be at all, less.
_Noreturn static void play_hosts(const char *name, long nap_us) {
  int fd = packet_socket(name, is_ipv6 ? ETH_P_IPV6 : ETH_P_ARP), yes = 1;
  // Or each announcement would wake us.
  setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes);
  uint8_t question[2048], answer[LONGEST];
  for (;;) {
    ssize_t length = recv(fd, question, sizeof question, 0);
    for (; length >= 0; length = recv(fd, question, sizeof question, MSG_DONTWAIT))
      if ((length = answer_to(question, length, answer)) > 0) send(fd, answer, length, 0);
    if (nap_us > 0) sleep_us(nap_us);
  }
}

// Plays hosts that answer late: each answer leaves by chance `least` to `most` ms after its question.
_Noreturn static void play_late_hosts(const char *name, int least, int most) {
  enum { SLOTS = 8192, ROOM = 1 << 19 };
  struct late {
    uint8_t frame[LONGEST];
    uint8_t length;
    uint32_t next;
  } *pool = malloc(ROOM * sizeof *pool);
  static uint32_t due[SLOTS];  // the first answer of each millisecond; 0: none
  uint32_t unused = 0, used = 1;
  int fd = packet_socket(name, is_ipv6 ? ETH_P_IPV6 : ETH_P_ARP), yes = 1;
  if (pool == NULL || most >= SLOTS) fail("LATE");
  setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes);
  uint8_t question[2048];
  for (long sent = now_ms(), now = sent;; sleep_us(NAP_US)) {
    for (ssize_t length; (length = recv(fd, question, sizeof question, MSG_DONTWAIT)) >= 0;) {
      uint32_t at = unused != 0 ? unused : used < ROOM ? used : 0;
      if (at == 0 || (pool[at].length = answer_to(question, length, pool[at].frame)) == 0) continue;
      if (at == unused) unused = pool[at].next;
      else used++;
      uint32_t *slot = &due[(now + 1 + least + random() % (most - least + 1)) % SLOTS];
      pool[at].next = *slot;
      *slot = at;
    }
    for (now = now_ms(); sent < now; sent++)
      for (uint32_t *slot = &due[sent % SLOTS], at; (at = *slot) != 0;) {
        send(fd, pool[at].frame, pool[at].length, 0);
        *slot = pool[at].next;
        pool[at].next = unused;
        unused = at;
      }
  }
}

static void listen_for_routes(const char *netns) {
  enter(netns);
  routes = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  int size = 256 << 20;
  setsockopt(routes, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = is_ipv6 ? RTMGRP_IPV6_ROUTE : RTMGRP_IPV4_ROUTE};
  if (bind(routes, (void *)&address, sizeof address) < 0) fail("netlink");
}

// Reads what the kernel announced and calls `see` for each host route.
static void drain(void (*see)(uint32_t ip, int type)) {
  static char bytes[1 << 20];
  for (;;) {
    ssize_t length = recv(routes, bytes, sizeof bytes, MSG_DONTWAIT);
    if (length < 0 && errno == ENOBUFS) {
      fprintf(stderr, "netlink overrun\n");
      continue;
    }
    if (length < 0) return;
    int left = length;
    for (struct nlmsghdr *m = (void *)bytes; NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
      if (m->nlmsg_type != RTM_NEWROUTE && m->nlmsg_type != RTM_DELROUTE) continue;
      struct rtmsg *route = NLMSG_DATA(m);
      if (route->rtm_family != (is_ipv6 ? AF_INET6 : AF_INET) || route->rtm_dst_len != (is_ipv6 ? 128 : 32) ||
          route->rtm_type != RTN_UNICAST)
        continue;
      int size = RTM_PAYLOAD(m);
      for (struct rtattr *a = RTM_RTA(route); RTA_OK(a, size); a = RTA_NEXT(a, size))
        if (a->rta_type == RTA_DST) {
          uint32_t ip;
          if (!is_ipv6) ip = ntohl(*(uint32_t *)RTA_DATA(a));
          else if (!nd_read_ip(RTA_DATA(a), &ip)) continue;
          see(ip, m->nlmsg_type);
        }
    }
  }
}

static uint32_t wanted;
static int found;
static uint8_t *seen;
static uint32_t seen_count, deleted;

static void see_wanted(uint32_t ip, int type) {
  if (type == RTM_NEWROUTE && ip == wanted) found = 1;
}

static void see_any(uint32_t ip, int type) {
  if (ip < first || ip >= first + hosts) return;
  if (type == RTM_DELROUTE) deleted++;
  else if (!seen[ip - first]) seen[ip - first] = 1, seen_count++;
}

static int by_value(const void *a, const void *b) {
  double x = *(double *)a, y = *(double *)b;
  return (x > y) - (x < y);
}

static int report_latency(double *ms, uint32_t count) {
  qsort(ms, count, sizeof *ms, by_value);
  printf("lat n=%u missed=%u", count, hosts - count);
  if (count > 0)
    printf(" ms: min %.3f p50 %.3f p90 %.3f p99 %.3f max %.3f", ms[0], ms[count / 2], ms[count * 9 / 10],
           ms[count * 99 / 100], ms[count - 1]);
  printf("\n");
  return count == hosts ? 0 : 1;
}

static int latency(long gap_us) {
  double *ms = malloc(hosts * sizeof *ms);
  uint32_t count = 0;
  struct pollfd ready = {routes, POLLIN, 0};
  for (uint32_t i = 0; i < hosts; i++) {
    wanted = first + i;
    found = 0;
    double began = now_ms();
    announce(packets, wanted);
    while (!found && now_ms() - began < LOST_AFTER_MS) poll(&ready, 1, 100), drain(see_wanted);
    if (found) ms[count++] = now_ms() - began;
    sleep_us(gap_us);
  }
  return report_latency(ms, count);
}

static int burst(long per_second) {
  seen = calloc(hosts, 1);
  double began = now_ms();
  for (uint32_t i = 0; i < hosts; i++) {
    announce(packets, first + i);
    if (per_second > 0)
      for (double due = began + i * 1e3 / per_second; now_ms() < due;)
        if (due - now_ms() > 0.2) sleep_us(100);
    if ((i & 63) == 0) drain(see_any);
  }
  double sent = now_ms(), last = sent;
  while (seen_count < hosts && now_ms() - last < GIVE_UP_MS) {
    uint32_t before = seen_count;
    // Woken for each route, we would take a fifth of a small machine from those who are measured.
    sleep_us(LOOK_EVERY_US), drain(see_any);
    if (seen_count != before) last = now_ms();
  }
  printf("burst sent %u in %.0f ms; routes %u/%u in %.1f ms = %.0f/s\n", hosts, sent - began, seen_count, hosts,
         last - began, seen_count / ((last - began) / 1e3));
  return seen_count == hosts ? 0 : 1;
}

static int deletions(long quiet_ms) {
  struct pollfd ready = {routes, POLLIN, 0};
  seen = calloc(hosts, 1);
  double began = now_ms(), last = began;
  while (deleted < hosts && now_ms() - last < quiet_ms) {
    uint32_t before = deleted;
    poll(&ready, 1, 100), drain(see_any);
    if (deleted != before) last = now_ms();
  }
  printf("del %u/%u in %.0f ms\n", deleted, hosts, last - began);
  return deleted == hosts ? 0 : 1;
}

// The guest behind a tap is this process itself: what the router sends there is read here.
static int taps(const char *prefix, long wait_us) {
  double *ms = malloc(hosts * sizeof *ms);
  uint32_t count = 0;
  int control = socket(AF_INET, SOCK_DGRAM, 0);
  for (uint32_t i = 0; i < hosts; i++) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    snprintf(request.ifr_name, IFNAMSIZ, "%s%u", prefix, i);
    int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) < 0) fail("tap");
    request.ifr_flags = IFF_UP;
    if (ioctl(control, SIOCSIFFLAGS, &request) < 0) fail("up");
    sleep_us(wait_us);
    wanted = first + i;
    found = 0;
    double began = now_ms();
    announce(tap, wanted);
    struct pollfd ready[2] = {{routes, POLLIN, 0}, {tap, POLLIN, 0}};
    while (!found && now_ms() - began < LOST_AFTER_MS) {
      poll(ready, 2, 100);
      uint8_t question[2048], answer[LONGEST];
      for (ssize_t length; (length = read(tap, question, sizeof question)) > 0;)
        if ((length = answer_to(question, length, answer)) > 0 && write(tap, answer, length) < 0) fail("answer");
      drain(see_wanted);
    }
    if (found) ms[count++] = now_ms() - began;
    close(tap);
  }
  return report_latency(ms, count);
}

static pid_t player;

static void silence(void) {
  if (player > 0) kill(player, SIGKILL), waitpid(player, NULL, 0);
}

int main(int count, char **words) {
  if (count != 8) {
    fprintf(stderr, "usage: arpbench lat|burst|del|tap HOSTNS HOSTIF ROUTERNS N NUMBER IP\n");
    return 2;
  }
  const char *mode = words[1];
  long number = atol(words[6]);
  hosts = atoi(words[5]);
  is_ipv6 = nd_address(words[7], &first);
  if (is_ipv6 < 0) fail(words[7]);
  if (strcmp(mode, "tap") == 0) {
    listen_for_routes(words[4]);
    urgent();
    return taps(words[3], number);
  }
  enter(words[2]);
  packets = packet_socket(words[3], 0);
  // Where a frame is measured alone, the hosts are not to wait for the processor. In a burst they take their turn.
  if (strcmp(mode, "lat") == 0) urgent();
  if (getenv("NOANSWER") == NULL) {
    const char *late = getenv("LATE");
    int least = 0, most = 0;
    if (late != NULL) sscanf(late, "%d-%d", &least, &most);
    if ((player = fork()) == 0) prctl(PR_SET_PDEATHSIG, SIGKILL), most > 0 ? play_late_hosts(words[3], least, most) : play_hosts(words[3], strcmp(mode, "burst") == 0 ? NAP_US : 0);
    atexit(silence);
    sleep_us(50000);
  }
  listen_for_routes(words[4]);
  if (strcmp(mode, "lat") == 0) return latency(number);
  if (strcmp(mode, "burst") == 0) return burst(number);
  if (strcmp(mode, "del") == 0) return deletions(number);
  fprintf(stderr, "arpbench: no such measurement: %s\n", mode);
  return 2;
}
