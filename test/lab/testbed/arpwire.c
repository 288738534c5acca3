// arpwire: puts ARP or Neighbor Discovery on a wire and listens to it, for the lab tests of capture/.
// usage: arpwire flood IF N PPS [BASEIP]   N gratuitous requests of N hosts; PPS 0 is full speed. Prints JSON.
//                                         With an IPv6 address as BASEIP advertisements.
//        arpwire ping  IF N GAP_US         N requests, one at a time; each waits for a reply to its sender address.
//                                          Prints the round trips in microseconds as JSON.
//        arpwire raw   IF HEX...           each argument is one whole frame.
// MAC addresses are 02:00:<ip>.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../bench/nd.h"

static int wire, is_ipv6;
static struct sockaddr_ll to;

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void put(const unsigned char *frame, size_t bytes) {
  while (sendto(wire, frame, bytes, 0, (struct sockaddr *)&to, sizeof to) < 0)
    if (errno != ENOBUFS && errno != EAGAIN) { perror("arpwire: send"); exit(2); }
}

static void request(unsigned sender, unsigned target) {
  static const unsigned char head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  unsigned char frame[60] = {0}, mac[6] = {2, 0, sender >> 24, sender >> 16, sender >> 8, sender};
  unsigned net_sender = htonl(sender), net_target = htonl(target);
  memset(frame, 0xff, 6);
  memcpy(frame + 6, mac, 6);
  memcpy(frame + 12, head, sizeof head);
  memcpy(frame + 22, mac, 6);
  memcpy(frame + 28, &net_sender, 4);
  memcpy(frame + 38, &net_target, 4);
  put(frame, sizeof frame);
}

static void announce(unsigned sender) {
  unsigned char frame[ND_FRAME], mac[6] = {2, 0, sender >> 24, sender >> 16, sender >> 8, sender};
  if (is_ipv6) put(frame, nd_announcement(frame, mac, sender));
  else request(sender, sender);
}

static int smaller(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static int ping(unsigned base, int count, int gap_us) {
  double *trips = malloc(count * sizeof *trips);
  int answered = 0;
  struct pollfd readable = {wire, POLLIN, 0};
  for (int i = 0; i < count; i++) {
    unsigned asked = base + i, answered_ip = 0;
    double start = now_us();
    request(asked, base - 1);
    while (answered_ip != asked && now_us() - start < 2e6) {
      unsigned char frame[2048];
      struct sockaddr_ll from;
      socklen_t size = sizeof from;
      if (poll(&readable, 1, 100) < 1) continue;
      int bytes = recvfrom(wire, frame, sizeof frame, 0, (struct sockaddr *)&from, &size);
      if (bytes < 42 || from.sll_pkttype == PACKET_OUTGOING || frame[21] != 2) continue;
      memcpy(&answered_ip, frame + 38, 4);
      answered_ip = ntohl(answered_ip);
    }
    if (answered_ip == asked) trips[answered++] = now_us() - start;
    usleep(gap_us);
  }
  qsort(trips, answered, sizeof *trips, smaller);
  if (answered == 0) printf("{\"sent\":%d,\"answered\":0}\n", count);
  else printf("{\"sent\":%d,\"answered\":%d,\"min\":%.0f,\"p50\":%.0f,\"p90\":%.0f,\"p99\":%.0f,\"max\":%.0f}\n", count, answered,
    trips[0], trips[answered / 2], trips[answered * 9 / 10], trips[answered * 99 / 100], trips[answered - 1]);
  return 0;
}

static int flood(unsigned base, long count, double per_second) {
  double start = now_us();
  for (long i = 0; i < count; i++) {
    double early = per_second > 0 ? start + i * 1e6 / per_second - now_us() : 0;
    if (early > 200) usleep(early - 100);
    announce(base + i);
  }
  printf("{\"sent\":%ld,\"ms\":%.1f}\n", count, (now_us() - start) / 1e3);
  return 0;
}

static int raw(int count, char **frames) {
  for (int i = 0; i < count; i++) {
    unsigned char frame[2048];
    size_t bytes = strlen(frames[i]) / 2;
    for (size_t j = 0; j < bytes && j < sizeof frame; j++) {
      unsigned byte;
      if (sscanf(frames[i] + 2 * j, "%2x", &byte) != 1) return 2;
      frame[j] = byte;
    }
    put(frame, bytes);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 4) { fprintf(stderr, "see the head of arpwire.c\n"); return 2; }
  wire = socket(AF_PACKET, SOCK_RAW, 0);
  to.sll_family = AF_PACKET;
  to.sll_halen = 6;
  to.sll_ifindex = if_nametoindex(argv[2]);
  if (wire < 0 || to.sll_ifindex == 0) { fprintf(stderr, "arpwire: no interface %s\n", argv[2]); return 2; }
  if (strcmp(argv[1], "raw") == 0) return raw(argc - 3, argv + 3);
  if (argc < 5) return 2;
  unsigned base = 0;
  is_ipv6 = nd_address(argc > 5 ? argv[5] : "10.64.0.1", &base);
  if (strcmp(argv[1], "flood") == 0) return flood(base, atol(argv[3]), atof(argv[4]));
  if (strcmp(argv[1], "ping") != 0) return 2;
  to.sll_protocol = htons(ETH_P_ARP);
  if (bind(wire, (struct sockaddr *)&to, sizeof to) < 0) { perror("arpwire: bind"); return 2; }
  return ping(base, atoi(argv[3]), atoi(argv[4]));
}
