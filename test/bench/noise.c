// noise: ARP or Neighbor Discovery in bulk on one interface.
//
//   noise hosts   IFNAME IP COUNT               plays COUNT hosts from IP upwards: answers ARP requests for them, says
//                                               nothing else. Runs until its standard input ends
//   noise refresh IFNAME IP COUNT RATE MS       these hosts announce themselves in turn, RATE frames per second
//   noise storm   IFNAME KIND RATE MS SEED      KIND random: new MAC and IP in every frame; sender: one MAC, new IPs;
//                                               repeat: one frame; malformed: frames broken in many ways; rarp: RARP
//                                               with a new MAC in every frame; nd-random, nd-sender, nd-repeat,
//                                               nd-malformed: the same as advertisements; nd-questions: solicitations
//                                               with a new MAC and IP in every frame; mld: reports of new MACs
//   noise packets IFNAME FROM MAC TO COUNT RATE MS
//                                               this host sends small IPv4 packets to COUNT addresses from TO upwards,
//                                               all by way of MAC; RATE 0 is as fast as it goes
//   noise single  IFNAME FROM MAC TO COUNT GAP_MS
//                                               one such packet to each of them; time until FROM is told by ARP where
//                                               that address is
//
// The MAC of a host is 02:00:<ip>; invented addresses are in 10.64.0.0/10, those of IPv6 in 2001:db8:64::/64 with the same
// last four bytes. IP may be an IPv6 address for hosts and refresh. Prints "ready" when it begins and
// "sent FRAMES in MS" at the end, or at SIGTERM.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "nd.h"

enum { FRAME = 60, LONGEST = MLD_FRAME, BATCH = 64 };

static int out, is_ipv6;
static uint64_t chance = 1;

_Noreturn static void fail(const char *what) {
  perror(what);
  exit(2);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

// xorshift64
static uint32_t random32(void) {
  chance ^= chance << 13;
  chance ^= chance >> 7;
  chance ^= chance << 17;
  return chance >> 32;
}

static uint32_t address_of(const char *text) {
  uint32_t number;
  is_ipv6 = nd_address(text, &number);
  if (is_ipv6 < 0) fail(text);
  return number;
}

static void mac_of(uint8_t *mac, uint32_t number) {
  uint32_t low = htonl(number);
  mac[0] = 2, mac[1] = 0;
  memcpy(mac + 2, &low, 4);
}

static int packet_socket(const char *name, int protocol) {
  int fd = socket(AF_PACKET, SOCK_RAW, htons(protocol)), size = 64 << 20, yes = 1;
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = if_nametoindex(name)};
  if (fd < 0 || address.sll_ifindex == 0 || bind(fd, (void *)&address, sizeof address) < 0) fail(name);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
  return fd;
}

static void arp(uint8_t *frame, uint32_t mac, uint32_t sender_ip, uint32_t target_ip, int opcode) {
  static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0};
  uint32_t sender = htonl(sender_ip), target = htonl(target_ip), low = htonl(mac);
  memset(frame, 0, FRAME);
  memset(frame, 0xff, 6);
  frame[6] = 2;
  memcpy(frame + 8, &low, 4);
  memcpy(frame + 12, head, sizeof head);
  frame[21] = opcode;
  memcpy(frame + 22, frame + 6, 6);
  memcpy(frame + 28, &sender, 4);
  memcpy(frame + 38, &target, 4);
}

static void hosts(const char *name, uint32_t first, uint32_t count) {
  int fd = packet_socket(name, is_ipv6 ? ETH_P_IPV6 : ETH_P_ARP);
  printf("ready\n");
  fflush(stdout);
  struct pollfd ready[2] = {{fd, POLLIN, 0}, {0, POLLIN, 0}};
  uint8_t question[2048], answer[LONGEST], mac[6];
  for (;;) {
    poll(ready, 2, -1);
    char byte;
    if (ready[1].revents != 0 && read(0, &byte, 1) <= 0) return;
    for (;;) {
      struct sockaddr_ll from;
      socklen_t size = sizeof from;
      ssize_t length = recvfrom(fd, question, sizeof question, MSG_DONTWAIT, (void *)&from, &size);
      if (length < 0) break;
      uint32_t number;
      if (is_ipv6) {
        if (from.sll_pkttype == PACKET_OUTGOING || !nd_asked(question, length, &number) || number - first >= count) continue;
        mac_of(mac, number);
        send(fd, answer, nd_answer(answer, mac, question, number), 0);
        continue;
      }
      if (length < 42 || from.sll_pkttype == PACKET_OUTGOING || question[20] != 0 || question[21] != 1) continue;
      uint32_t asker, target;
      memcpy(&asker, question + 28, 4);
      memcpy(&target, question + 38, 4);
      target = ntohl(target);
      if (target < first || target >= first + count) continue;
      arp(answer, target, target, ntohl(asker), 2);
      memcpy(answer, question + 22, 6);
      memcpy(answer + 32, question + 22, 6);
      send(fd, answer, FRAME, 0);
    }
  }
}

static uint32_t refresh_first, refresh_count, refresh_next;

static int refresh(uint8_t *frame) {
  uint32_t ip = refresh_first + refresh_next++ % refresh_count;
  if (is_ipv6) {
    uint8_t mac[6];
    mac_of(mac, ip);
    return nd_announcement(frame, mac, ip);
  }
  arp(frame, ip, ip, ip, 1);
  return FRAME;
}

static uint32_t invented(void) { return 0x0a400000 | (random32() & 0x3fffff); }

static int storm_random(uint8_t *frame) {
  uint32_t ip = invented();
  arp(frame, random32(), ip, ip, 1);
  return FRAME;
}

static int storm_sender(uint8_t *frame) {
  uint32_t ip = invented();
  arp(frame, 0xbadbad, ip, ip, 1);
  return FRAME;
}

// RARP (RFC 903) of a new MAC each time.
static int storm_rarp(uint8_t *frame) {
  arp(frame, random32(), 0, 0, 3);
  frame[12] = 0x80;
  frame[13] = 0x35;
  memcpy(frame + 32, frame + 22, 6);
  return FRAME;
}

static int storm_repeat(uint8_t *frame) {
  arp(frame, 0xbadbad, 0x0a40bad0, 0x0a40bad0, 1);
  return FRAME;
}

// Every frame still has EtherType ARP, or no capture filter would let it pass.
static int storm_malformed(uint8_t *frame) {
  uint32_t ip = invented();
  arp(frame, random32(), ip, ip, 1);
  switch (random32() % 6) {
    case 0: return 14 + random32() % 28;
    case 1: frame[15] = random32() | 2; return FRAME;
    case 2: frame[17] ^= 1 + random32() % 255; return FRAME;
    case 3: frame[18 + random32() % 2] = random32() | 128; return FRAME;
    case 4: frame[21] = 3 + random32() % 250; return FRAME;
    default: memset(frame + 22, random32() & 1 ? 0xff : 0, 6); return FRAME;
  }
}

static int advertise(uint8_t *frame, uint32_t mac_number, uint32_t number) {
  uint8_t mac[6];
  mac_of(mac, mac_number);
  return nd_announcement(frame, mac, number);
}

static int storm_nd_random(uint8_t *frame) { return advertise(frame, random32(), invented()); }

static int storm_nd_sender(uint8_t *frame) { return advertise(frame, 0xbadbad, invented()); }

static int storm_nd_repeat(uint8_t *frame) { return advertise(frame, 0xbadbad, 0x0a40bad0); }

static int storm_nd_questions(uint8_t *frame) {
  uint8_t mac[6];
  mac_of(mac, random32());
  return nd_question(frame, mac, invented(), invented());
}

// Every frame still has the type of an advertisement.
static int storm_nd_malformed(uint8_t *frame) {
  int length = advertise(frame, random32(), invented());
  switch (random32() % 6) {
    case 0: return 55 + random32() % 23;
    case 1: frame[21] = random32() % 255; return length;
    case 2: frame[56] ^= 1 + random32() % 255; return length;
    case 3: frame[79] = 0; break;
    case 4: frame[62] = 0xff; break;
    default: frame[55] = 1 + random32() % 255;
  }
  nd_checksum(frame, ND_PAYLOAD, 32);
  return length;
}

static int storm_mld(uint8_t *frame) {
  uint8_t mac[6];
  mac_of(mac, random32());
  return mld_report(frame, mac, invented());
}

static void read_mac(const char *text, uint8_t *mac) {
  if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6) fail(text);
}

static uint32_t packet_from, packet_to, packet_count, packet_next;
static uint8_t packet_by[6];

// UDP from and to port 9 (discard), without a payload and without a checksum of it.
static int packet(uint8_t *frame) {
  static const uint8_t ip[] = {8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17}, udp[] = {0, 9, 0, 9, 0, 8};
  uint32_t from = htonl(packet_from), to = htonl(packet_to + packet_next++ % packet_count), sum = 0;
  memset(frame, 0, FRAME);
  memcpy(frame, packet_by, 6);
  frame[6] = 2;
  memcpy(frame + 8, &from, 4);
  memcpy(frame + 12, ip, sizeof ip);
  memcpy(frame + 26, &from, 4);
  memcpy(frame + 30, &to, 4);
  memcpy(frame + 34, udp, sizeof udp);
  for (int i = 14; i < 34; i += 2) sum += frame[i] << 8 | frame[i + 1];
  sum = ~((sum & 0xffff) + (sum >> 16));
  frame[24] = sum >> 8, frame[25] = sum;
  return FRAME;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void single(const char *name, int gap_ms) {
  int fd = packet_socket(name, ETH_P_ARP), known = 0, missed = 0;
  double *took = calloc(packet_count, sizeof *took);
  uint8_t frame[FRAME], seen[2048];
  uint32_t from = htonl(packet_from);
  for (uint32_t i = 0; i < packet_count; i++) {
    uint32_t wanted = htonl(packet_to + packet_next % packet_count);
    packet(frame);
    while (recv(fd, seen, sizeof seen, MSG_DONTWAIT) >= 0) {}
    int64_t sent = now_ns(), left = 1000000000;
    int told = 0;
    if (send(out, frame, FRAME, 0) != FRAME) fail("send");
    while (!told && left > 0) {
      struct pollfd ready = {fd, POLLIN, 0};
      poll(&ready, 1, left / 1000000 + 1);
      ssize_t length = recv(fd, seen, sizeof seen, MSG_DONTWAIT);
      left = 1000000000 - (now_ns() - sent);
      told = length >= 42 && seen[21] == 1 && memcmp(seen + 28, &wanted, 4) == 0 && memcmp(seen + 38, &from, 4) == 0;
    }
    if (told) took[known++] = (now_ns() - sent) / 1e6;
    else missed++;
    struct timespec pause = {gap_ms / 1000, gap_ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
  }
  qsort(took, known, sizeof *took, by_size);
  printf("lat n=%d missed=%d", known, missed);
  if (known > 0)
    printf(" p50 %.3f p90 %.3f p99 %.3f max %.3f", took[(known - 1) / 2], took[(known - 1) * 9 / 10],
           took[(known - 1) * 99 / 100], took[known - 1]);
  printf("\n");
}

static volatile sig_atomic_t ending;

static void end(int signal) { ending = signal; }

static void send_all(int (*make)(uint8_t *frame), double per_second, int64_t duration_ns) {
  static uint8_t frames[BATCH][LONGEST];
  static struct iovec parts[BATCH];
  static struct mmsghdr messages[BATCH];
  for (int i = 0; i < BATCH; i++)
    parts[i].iov_base = frames[i], messages[i].msg_hdr.msg_iov = &parts[i], messages[i].msg_hdr.msg_iovlen = 1;
  int64_t began = now_ns(), elapsed = 0;
  uint64_t sent = 0;
  signal(SIGTERM, end);
  printf("ready\n");
  fflush(stdout);
  while (!ending && (elapsed = now_ns() - began) < duration_ns) {
    int64_t due = per_second > 0 ? elapsed * per_second / 1e9 - sent : BATCH;
    if (due <= 0) {
      // Ten thousand times a second at most, so that the pause is a pause.
      struct timespec pause = {0, 100000};
      nanosleep(&pause, NULL);
      continue;
    }
    int count = due < BATCH ? due : BATCH;
    for (int i = 0; i < count; i++) parts[i].iov_len = make(frames[i]);
    int done = sendmmsg(out, messages, count, 0);
    if (done > 0) sent += done;
    else if (errno != ENOBUFS && errno != EAGAIN) fail("send");
  }
  printf("sent %llu in %.0f\n", (unsigned long long)sent, elapsed / 1e6);
}

int main(int count, char **words) {
  const char *mode = count > 2 ? words[1] : "";
  if (strcmp(mode, "hosts") == 0 && count == 5) {
    hosts(words[2], address_of(words[3]), atoi(words[4]));
    return 0;
  }
  if (strcmp(mode, "refresh") == 0 && count == 7) {
    out = packet_socket(words[2], 0);
    refresh_first = address_of(words[3]);
    refresh_count = atoi(words[4]);
    send_all(refresh, atof(words[5]), atoll(words[6]) * 1000000);
    return 0;
  }
  if (strcmp(mode, "storm") == 0 && count == 7) {
    static const struct {
      const char *name;
      int (*make)(uint8_t *);
    } kinds[] = {
        {"random", storm_random},       {"sender", storm_sender},
        {"repeat", storm_repeat},       {"malformed", storm_malformed},
        {"rarp", storm_rarp},           {"nd-random", storm_nd_random},
        {"nd-sender", storm_nd_sender}, {"nd-repeat", storm_nd_repeat},
        {"nd-questions", storm_nd_questions}, {"nd-malformed", storm_nd_malformed},
        {"mld", storm_mld},
    };
    address_of("2001:db8:64::");
    out = packet_socket(words[2], 0);
    chance = strtoull(words[6], NULL, 10) * 0x9e3779b97f4a7c15 | 1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
      if (strcmp(kinds[i].name, words[3]) == 0) {
        send_all(kinds[i].make, atof(words[4]), atoll(words[5]) * 1000000);
        return 0;
      }
  }
  if ((strcmp(mode, "packets") == 0 && count == 9) || (strcmp(mode, "single") == 0 && count == 8)) {
    out = packet_socket(words[2], 0);
    packet_from = address_of(words[3]);
    read_mac(words[4], packet_by);
    packet_to = address_of(words[5]);
    packet_count = atoi(words[6]);
    if (count == 9) send_all(packet, atof(words[7]), atoll(words[8]) * 1000000);
    else single(words[2], atoi(words[7]));
    return 0;
  }
  fprintf(stderr, "usage: see the head of noise.c\n");
  return 2;
}
