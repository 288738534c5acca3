// gauges: the instruments of the several-router lab. All times are CLOCK_MONOTONIC in nanoseconds, which is one clock
// for all network namespaces of a machine.
//
//   watch ROLE=NETNS...    prints every change of a /32 or /128 route in these namespaces, as the kernel announces it:
//                          "TIME ROLE add|del ADDRESS table N proto N metric N via ADDRESS|- dev NAME|-"
//   echo PORT              sends every UDP datagram back to where it came from
//   stream IP PORT US      sends a numbered datagram every US microseconds to an echo and keeps what came back when.
//                          "window FROM TO" on standard input is answered with what happened between two times:
//                          "window SENT LOST SILENCE SILENCE_BEGAN RTT_MAX SENDER_STALL"
//   replug NETNS           moves cables between the bridges of a switch, driven by lines on standard input:
//                          "move PORT BRIDGE|- DROP HOST_NETNS FRAME,...|-": with DROP 1 the carrier goes until the host
//                          has noticed; each FRAME (hex) is sent from eth0 of the host as soon as it has carrier again.
//                          Answered with "moved BEFORE PLUGGED SPOKE"
//   hosts IFACE IP COUNT   plays COUNT hosts from IP upwards, each with its own MAC 02:00:<ip>: answers ARP requests
//                          and ICMP echo requests, "announce" on standard input sends gratuitous ARP for all of them
//   sweep IP COUNT MS      pings COUNT hosts every 10 ms; prints "all TIME" when each has answered since the start,
//                          "missing COUNT FIRST" when MS milliseconds are over before
//
// Every instrument prints "clock MONOTONIC REALTIME" first, so that captures can be laid beside it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
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

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static int64_t clock_of(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static int64_t now(void) { return clock_of(CLOCK_MONOTONIC); }

// An instrument that waits for its turn on a busy machine measures the machine.
static void urgent(void) {
  struct sched_param high = {.sched_priority = 10};
  sched_setscheduler(0, SCHED_FIFO, &high);
}

static void enter(const char *netns) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", netns);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) fail(path);
  close(fd);
}

// Sending, too: what waits for an answer to ARP fills the buffer of its socket, and must not be in the way of others.
static void buffer(int fd) {
  int size = 16 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
}

// Calls `take` for each complete line on standard input. Returns 0 at its end.
static int lines(void (*take)(char *)) {
  static char text[1 << 16];
  static size_t filled;
  ssize_t length = read(0, text + filled, sizeof text - filled - 1);
  if (length <= 0) return 0;
  filled += length;
  text[filled] = 0;
  char *line = text;
  for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
    *end = 0;
    take(line);
  }
  filled -= line - text;
  memmove(text, line, filled);
  return 1;
}

// ---- watch ---------------------------------------------------------------------------------------------------------

static void route_event(const char *role, struct nlmsghdr *message, int64_t at) {
  struct rtmsg *route = NLMSG_DATA(message);
  int family = route->rtm_family;
  if (route->rtm_type != RTN_UNICAST || route->rtm_dst_len != (family == AF_INET ? 32 : 128)) return;
  char dst[INET6_ADDRSTRLEN] = "-", via[INET6_ADDRSTRLEN] = "-", dev[IF_NAMESIZE] = "-";
  uint32_t metric = 0, table = route->rtm_table, index;
  int length = RTM_PAYLOAD(message);
  for (struct rtattr *a = RTM_RTA(route); RTA_OK(a, length); a = RTA_NEXT(a, length)) {
    if (a->rta_type == RTA_DST) inet_ntop(family, RTA_DATA(a), dst, sizeof dst);
    if (a->rta_type == RTA_GATEWAY) inet_ntop(family, RTA_DATA(a), via, sizeof via);
    if (a->rta_type == RTA_PRIORITY) memcpy(&metric, RTA_DATA(a), 4);
    if (a->rta_type == RTA_TABLE) memcpy(&table, RTA_DATA(a), 4);
    if (a->rta_type == RTA_OIF) memcpy(&index, RTA_DATA(a), 4), snprintf(dev, sizeof dev, "%u", index);
    if (a->rta_type == RTA_MULTIPATH) snprintf(via, sizeof via, "multipath");
  }
  printf("%lld %s %s %s table %u proto %u metric %u via %s dev %s\n", (long long)at, role,
         message->nlmsg_type == RTM_NEWROUTE ? "add" : "del", dst, table, route->rtm_protocol, metric, via, dev);
}

_Noreturn static void watch(int count, char **places) {
  struct pollfd sockets[32];
  const char *roles[32];
  static char bytes[1 << 16];
  for (int i = 0; i < count && i < 32; i++) {
    char *equals = strchr(places[i], '=');
    if (equals == NULL) fail("ROLE=NETNS");
    *equals = 0;
    roles[i] = places[i];
    enter(equals + 1);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    sockets[i] = (struct pollfd){socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), POLLIN, 0};
    if (sockets[i].fd < 0 || bind(sockets[i].fd, (void *)&address, sizeof address) < 0) fail("netlink");
    buffer(sockets[i].fd);
  }
  urgent();
  printf("ready\n");
  for (;;) {
    poll(sockets, count, -1);
    int64_t at = now();
    for (int i = 0; i < count; i++) {
      if (sockets[i].revents == 0) continue;
      ssize_t length = recv(sockets[i].fd, bytes, sizeof bytes, MSG_DONTWAIT);
      if (length < 0 && errno == ENOBUFS) printf("%lld %s overrun\n", (long long)at, roles[i]);
      if (length <= 0) continue;
      for (struct nlmsghdr *m = (void *)bytes; NLMSG_OK(m, length); m = NLMSG_NEXT(m, length)) {
        if (m->nlmsg_type == RTM_NEWROUTE || m->nlmsg_type == RTM_DELROUTE) route_event(roles[i], m, at);
      }
    }
  }
}

// ---- echo and stream -----------------------------------------------------------------------------------------------

_Noreturn static void echo(int port) {
  // Where IPv6 is, the one socket serves both families.
  int fd = socket(AF_INET6, SOCK_DGRAM, 0);
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)}, from;
  if (bind(fd, (void *)&address, sizeof address) < 0) fail("bind");
  buffer(fd);
  urgent();
  printf("ready\n");
  char bytes[2048];
  for (;;) {
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(fd, bytes, sizeof bytes, 0, (void *)&from, &size);
    // A host between two LANs may have no route back: that datagram is lost, which is what is measured.
    if (length >= 0) sendto(fd, bytes, length, MSG_DONTWAIT, (void *)&from, size);
  }
}

enum { KEPT = 1 << 20 };
static int64_t sent_at[KEPT], back_at[KEPT], arrivals[KEPT];
static uint64_t sent, arrived;

static void window(char *line) {
  long long from, to;
  if (sscanf(line, "window %lld %lld", &from, &to) != 2) return;
  uint64_t count = 0, lost = 0;
  int64_t silence = 0, began = 0, rtt = 0, stall = 0, last = 0;
  for (uint64_t i = sent > KEPT ? sent - KEPT : 0; i < sent; i++) {
    int64_t at = sent_at[i % KEPT], back = back_at[i % KEPT];
    if (at < from || at >= to) continue;
    count++;
    if (back == 0) lost++;
    else if (back - at > rtt) rtt = back - at;
    if (last != 0 && at - last > stall) stall = at - last;
    last = at;
  }
  last = 0;
  for (uint64_t i = arrived > KEPT ? arrived - KEPT : 0; i <= arrived; i++) {
    int64_t at = i < arrived ? arrivals[i % KEPT] : to;
    if (at < from) continue;
    if (at > to) at = to;
    int64_t since = last == 0 ? from : last;
    if (at - since > silence) silence = at - since, began = since;
    last = at;
    if (at == to) break;
  }
  printf("window %llu %llu %lld %lld %lld %lld\n", (unsigned long long)count, (unsigned long long)lost,
         (long long)silence, (long long)began, (long long)rtt, (long long)stall);
}

static int stream(const char *ip, int port, long period_us) {
  int family = strchr(ip, ':') == NULL ? AF_INET : AF_INET6;
  int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  struct sockaddr *to = family == AF_INET ? (struct sockaddr *)&to4 : (struct sockaddr *)&to6;
  socklen_t to_size = family == AF_INET ? sizeof to4 : sizeof to6;
  if (inet_pton(family, ip, family == AF_INET ? (void *)&to4.sin_addr : (void *)&to6.sin6_addr) != 1) fail(ip);
  buffer(fd);
  struct timespec period = {period_us / 1000000, period_us % 1000000 * 1000};
  timerfd_settime(timer, 0, &(struct itimerspec){period, period}, NULL);
  urgent();
  printf("ready\n");
  struct pollfd ready[3] = {{fd, POLLIN, 0}, {timer, POLLIN, 0}, {0, POLLIN, 0}};
  for (;;) {
    poll(ready, 3, -1);
    uint64_t number, due;
    // An ICMP error of an earlier datagram is reported by the next call; the datagram counts as lost, not the call.
    for (;;) {
      ssize_t length = recv(fd, &number, sizeof number, 0);
      if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
      if (length != sizeof number || number >= sent || sent - number > KEPT || back_at[number % KEPT] != 0) continue;
      back_at[number % KEPT] = arrivals[arrived % KEPT] = now();
      arrived++;
    }
    if ((ready[1].revents & POLLIN) && read(timer, &due, sizeof due) == sizeof due) {
      sent_at[sent % KEPT] = now();
      back_at[sent % KEPT] = 0;
      number = sent++;
      if (sendto(fd, &number, sizeof number, 0, to, to_size) < 0) sendto(fd, &number, sizeof number, 0, to, to_size);
    }
    if (ready[2].revents != 0 && !lines(window)) return 0;
  }
}

// ---- replug --------------------------------------------------------------------------------------------------------

static int links;
static char switch_netns[256];

static void set_link(const char *port, int master, unsigned flags) {
  struct {
    struct nlmsghdr head;
    struct ifinfomsg link;
    struct rtattr attribute;
    int master;
  } ask = {.head = {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
           .link = {.ifi_family = AF_UNSPEC, .ifi_index = if_nametoindex(port), .ifi_flags = flags, .ifi_change = IFF_UP},
           .attribute = {sizeof(struct rtattr) + 4, IFLA_MASTER},
           .master = master};
  if (master < 0) ask.head.nlmsg_len -= 8;
  if (ask.link.ifi_index == 0) fail(port);
  char answer[4096];
  if (send(links, &ask, ask.head.nlmsg_len, 0) < 0 || recv(links, answer, sizeof answer, 0) < 0) fail("rtnetlink");
  struct nlmsgerr *verdict = NLMSG_DATA((struct nlmsghdr *)answer);
  if (verdict->error != 0) errno = -verdict->error, fail(port);
}

// A card hears of its cable a little later, at most once a second; if both changes fell into one such moment the host
// would never know that it was unplugged, and keep its neighbour entries.
static void await_carrier(int socket, int wanted) {
  struct ifreq card = {.ifr_name = "eth0"};
  for (int64_t began = now(); now() - began < 3000000000ll; usleep(50)) {
    if (ioctl(socket, SIOCGIFFLAGS, &card) == 0 && !(card.ifr_flags & IFF_RUNNING) == !wanted) return;
  }
}

static void move(char *line) {
  char port[64], bridge[64], netns[256], hex[8192];
  int drop;
  if (sscanf(line, "move %63s %63s %d %255s %8191s", port, bridge, &drop, netns, hex) != 5) {
    fprintf(stderr, "not understood: %s\n", line);
    exit(2);
  }
  uint8_t frames[4096];
  size_t ends[8] = {0}, length = 0, count = 0;
  unsigned value;
  for (char *digit = hex; length < sizeof frames && sscanf(digit, "%2x", &value) == 1; digit += *digit == ',') {
    for (; length < sizeof frames && sscanf(digit, "%2x", &value) == 1; digit += 2) frames[length++] = value;
    if (count < 8) ends[count++] = length;
  }
  // The card of the host is ready before the cable moves: nothing may pass between plug and word.
  enter(netns);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("eth0")};
  int out = socket(AF_PACKET, SOCK_RAW, 0);
  if (out < 0 || bind(out, (void *)&address, sizeof address) < 0) fail("packet socket");
  enter(switch_netns);
  int master = bridge[0] == '-' ? 0 : (int)if_nametoindex(bridge);
  int64_t before = now();
  if (drop) set_link(port, -1, 0), await_carrier(out, 0);
  set_link(port, master, drop ? 0 : IFF_UP);
  if (drop && master != 0) set_link(port, -1, IFF_UP);
  int64_t plugged = now();
  if (drop && master != 0) await_carrier(out, 1);
  int64_t spoke = now();
  for (size_t i = 0, from = 0; i < count; from = ends[i++])
    if (send(out, frames + from, ends[i] - from, 0) < 0) perror("send");
  close(out);
  printf("moved %lld %lld %lld\n", (long long)before, (long long)plugged, (long long)spoke);
}

static int replug(const char *netns) {
  snprintf(switch_netns, sizeof switch_netns, "%s", netns);
  enter(netns);
  links = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  if (links < 0) fail("netlink");
  urgent();
  printf("ready\n");
  while (lines(move));
  return 0;
}

// ---- hosts and sweep -----------------------------------------------------------------------------------------------

static uint32_t first, hosts_count;
static int lan;

static uint32_t address_of(const char *text) {
  struct in_addr address;
  if (inet_pton(AF_INET, text, &address) != 1) fail(text);
  return ntohl(address.s_addr);
}

static uint32_t read32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return ntohl(value);
}

static void write32(uint8_t *at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, 4);
}

static void mac_of(uint32_t ip, uint8_t *mac) {
  mac[0] = 2;
  mac[1] = 0;
  write32(mac + 2, ip);
}

static void arp(const uint8_t *to, int opcode, uint32_t ip, const uint8_t *target_mac, uint32_t target_ip) {
  uint8_t frame[60] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, opcode};
  memcpy(frame, to, 6);
  mac_of(ip, frame + 6);
  mac_of(ip, frame + 22);
  write32(frame + 28, ip);
  memcpy(frame + 32, target_mac, 6);
  write32(frame + 38, target_ip);
  send(lan, frame, sizeof frame, 0);
}

static void announce(char *line) {
  static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255}, nobody[6];
  if (strcmp(line, "announce") != 0) return;
  int64_t began = now();
  for (uint32_t i = 0; i < hosts_count; i++) arp(everybody, 1, first + i, nobody, first + i);
  printf("announced %lld %lld\n", (long long)began, (long long)now());
}

static uint16_t checksum(const uint8_t *bytes, int length) {
  uint32_t sum = 0;
  for (int i = 0; i + 1 < length; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  if (length & 1) sum += bytes[length - 1] << 8;
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

static void answer(uint8_t *frame, ssize_t length) {
  if (length >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 1) {
    uint32_t target = read32(frame + 38);
    uint8_t mac[6];
    mac_of(target, mac);
    if (target - first >= hosts_count || (!(frame[0] & 1) && memcmp(frame, mac, 6) != 0)) return;
    arp(frame + 22, 2, target, frame + 22, read32(frame + 28));
  } else if (length >= 42 && frame[12] == 8 && frame[13] == 0 && frame[23] == IPPROTO_ICMP) {
    int icmp = 14 + (frame[14] & 15) * 4, total = 14 + (frame[16] << 8 | frame[17]);
    uint32_t source = read32(frame + 26), target = read32(frame + 30);
    uint8_t mac[6];
    mac_of(target, mac);
    if (target - first >= hosts_count || memcmp(frame, mac, 6) != 0 || frame[icmp] != ICMP_ECHO || total > length) return;
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, mac, 6);
    write32(frame + 26, target);
    write32(frame + 30, source);
    frame[icmp] = ICMP_ECHOREPLY;
    frame[icmp + 2] = frame[icmp + 3] = 0;
    uint16_t sum = checksum(frame + icmp, total - icmp);
    frame[icmp + 2] = sum >> 8;
    frame[icmp + 3] = sum;
    send(lan, frame, length, 0);
  }
}

static int hosts(const char *interface, const char *ip, int count) {
  first = address_of(ip);
  hosts_count = count;
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(interface)};
  struct packet_mreq promiscuous = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
  lan = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (lan < 0 || bind(lan, (void *)&address, sizeof address) < 0) fail("packet socket");
  setsockopt(lan, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous);
  buffer(lan);
  printf("ready\n");
  struct pollfd ready[2] = {{lan, POLLIN, 0}, {0, POLLIN, 0}};
  static uint8_t frame[1 << 16];
  for (;;) {
    poll(ready, 2, -1);
    struct sockaddr_ll from;
    for (;;) {
      socklen_t size = sizeof from;
      ssize_t length = recvfrom(lan, frame, sizeof frame, MSG_DONTWAIT, (void *)&from, &size);
      if (length < 0) break;
      if (from.sll_pkttype != PACKET_OUTGOING) answer(frame, length);
    }
    if (ready[1].revents != 0 && !lines(announce)) return 0;
  }
}

static int sweep(const char *ip, uint32_t count, long limit_ms) {
  uint32_t base = address_of(ip), missing = count;
  char *seen = calloc(count, 1);
  int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMP);
  if (fd < 0 || seen == NULL) fail("raw socket");
  buffer(fd);
  int id = getpid() & 0xffff;
  printf("ready\n");
  int64_t began = now(), due = began;
  uint8_t bytes[2048];
  while (now() - began < limit_ms * 1000000ll) {
    if (now() >= due) {
      for (uint32_t i = 0; i < count; i++) {
        if (seen[i]) continue;
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(base + i)}};
        uint8_t ask[16] = {ICMP_ECHO, 0, 0, 0, id >> 8, id};
        uint16_t sum = checksum(ask, sizeof ask);
        ask[2] = sum >> 8;
        ask[3] = sum;
        sendto(fd, ask, sizeof ask, 0, (void *)&to, sizeof to);
      }
      due += 10000000;
    }
    struct pollfd ready = {fd, POLLIN, 0};
    poll(&ready, 1, 1);
    for (ssize_t length; (length = recv(fd, bytes, sizeof bytes, 0)) >= 28;) {
      uint8_t *icmp = bytes + (bytes[0] & 15) * 4;
      uint32_t from = read32(bytes + 12) - base;
      if (icmp[0] != ICMP_ECHOREPLY || (icmp[4] << 8 | icmp[5]) != id || from >= count || seen[from]) continue;
      seen[from] = 1;
      if (--missing == 0) return printf("all %lld\n", (long long)now()), 0;
    }
  }
  uint32_t one = 0;
  while (seen[one]) one++;
  struct in_addr address = {htonl(base + one)};
  printf("missing %u %s\n", missing, inet_ntoa(address));
  return 1;
}

int main(int count, char **words) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("clock %lld %lld\n", (long long)now(), (long long)clock_of(CLOCK_REALTIME));
  const char *what = count > 1 ? words[1] : "";
  if (strcmp(what, "watch") == 0 && count > 2) watch(count - 2, words + 2);
  if (strcmp(what, "echo") == 0 && count == 3) echo(atoi(words[2]));
  if (strcmp(what, "stream") == 0 && count == 5) return stream(words[2], atoi(words[3]), atol(words[4]));
  if (strcmp(what, "replug") == 0 && count == 3) return replug(words[2]);
  if (strcmp(what, "hosts") == 0 && count == 5) return hosts(words[2], words[3], atoi(words[4]));
  if (strcmp(what, "sweep") == 0 && count == 5) return sweep(words[2], atoi(words[3]), atol(words[4]));
  fprintf(stderr, "usage: see the head of gauges.c\n");
  return 2;
}
