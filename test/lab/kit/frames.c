// frames: raw Ethernet frames in and out of one interface, driven by lines on standard input.
//
//   frames INTERFACE            speaks on a card that exists
//   frames --tap NAME           makes the tap NAME and is the guest behind it; the tap goes with the program
//
//   send HEX                    one frame, as given
//   repeat COUNT PPS HEX        the same frame COUNT times; PPS 0 is as fast as the socket takes them
//   burst IP COUNT PPS          gratuitous ARP requests of IP, IP+1, ... each from its own MAC 02:00:<ip>
//   malformed COUNT PPS SEED    ARP and RARP frames broken in every way a xorshift generator finds
//   answer IP COUNT [MAC]       from now on answer ARP requests for IP .. IP+COUNT-1, from MAC or from 02:00:<ip>
//   delay MS                    from now on answer so many milliseconds late
//   mute                        stop answering
//
// Each command is acknowledged with a line "done NUMBER", the number of frames sent since the start. An ACD probe
// (RFC 5227, sender 0.0.0.0) is answered as any request: the address is in use.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { RANGES = 64, LINE = 8192, LATE = 4096 };

struct range {
  uint32_t first, count;
  int own_mac;
  uint8_t mac[6];
};

static int out, is_tap;
static struct range ranges[RANGES];
static int used;
static unsigned long sent;

// Answers that are not due yet, in the order of their times: the delay is the same for all.
static struct late {
  double due;
  uint8_t frame[60];
} late[LATE];
static unsigned first_late, next_late;
static double delay;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(2);
}

// The interface may be down or gone for a while: such a frame is lost, as on a real cable.
static void emit(const uint8_t *frame, size_t length) {
  for (;;) {
    if (write(out, frame, length) >= 0) {
      sent++;
      return;
    }
    if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) return;
  }
}

static void mac_of(uint32_t ip, uint8_t *mac) {
  mac[0] = 2;
  mac[1] = 0;
  uint32_t n = htonl(ip);
  memcpy(mac + 2, &n, 4);
}

static void arp(uint8_t *frame, const uint8_t *destination, int opcode, const uint8_t *sender_mac, uint32_t sender_ip,
                const uint8_t *target_mac, uint32_t target_ip) {
  static const uint8_t head[] = {8, 6, 0, 1, 8, 0, 6, 4, 0};
  memset(frame, 0, 60);
  memcpy(frame, destination, 6);
  memcpy(frame + 6, sender_mac, 6);
  memcpy(frame + 12, head, sizeof head);
  frame[21] = opcode;
  memcpy(frame + 22, sender_mac, 6);
  sender_ip = htonl(sender_ip);
  memcpy(frame + 28, &sender_ip, 4);
  memcpy(frame + 32, target_mac, 6);
  target_ip = htonl(target_ip);
  memcpy(frame + 38, &target_ip, 4);
}

static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255}, zero[6];

// Answers everything that waits on the socket.
static void answer_pending(int in) {
  uint8_t frame[2048], reply[60], mac[6];
  for (;;) {
    struct sockaddr_ll from = {.sll_pkttype = PACKET_HOST};
    socklen_t from_length = sizeof from;
    ssize_t length = is_tap ? read(in, frame, sizeof frame)
                            : recvfrom(in, frame, sizeof frame, MSG_DONTWAIT, (void *)&from, &from_length);
    if (length <= 0) return;
    if (length < 42 || from.sll_pkttype == PACKET_OUTGOING) continue;
    if (frame[12] != 8 || frame[13] != 6 || frame[20] != 0 || frame[21] != 1) continue;
    uint32_t target, sender;
    memcpy(&sender, frame + 28, 4);
    memcpy(&target, frame + 38, 4);
    sender = ntohl(sender);
    target = ntohl(target);
    for (int i = used - 1; i >= 0; i--) {
      if (target - ranges[i].first >= ranges[i].count) continue;
      if (ranges[i].own_mac)
        memcpy(mac, ranges[i].mac, 6);
      else
        mac_of(target, mac);
      // A unicast question reaches only the card that it is addressed to.
      if (memcmp(frame, broadcast, 6) != 0 && memcmp(frame, mac, 6) != 0) break;
      arp(reply, frame + 22, 2, mac, target, frame + 22, sender);
      if (delay > 0 && next_late - first_late < LATE) {
        struct late *slot = &late[next_late++ % LATE];
        slot->due = now() + delay;
        memcpy(slot->frame, reply, 60);
      } else {
        emit(reply, 60);
      }
      break;
    }
  }
}

// Sends the late answers that are due. Returns how long to wait for the next one, ms; -1: for none.
static int answer_late(void) {
  for (; first_late != next_late; first_late++) {
    double left = late[first_late % LATE].due - now();
    if (left > 0) return (int)(left * 1000) + 1;
    emit(late[first_late % LATE].frame, 60);
  }
  return -1;
}

// Waits until the next frame of a paced series is due, answering meanwhile.
static void pace(int in, double start, unsigned long index, double pps) {
  if ((index & 63) == 0) answer_pending(in);
  if (pps <= 0) return;
  double due = start + index / pps;
  for (double left; (left = due - now()) > 0;) {
    struct timespec wait = {0, left > 0.001 ? 1000000 : (long)(left * 1e9)};
    struct pollfd ready = {in, POLLIN, 0};
    if (ppoll(&ready, 1, &wait, NULL) > 0) answer_pending(in);
  }
}

static size_t unhex(const char *text, uint8_t *bytes, size_t room) {
  size_t n = 0;
  unsigned value;
  for (; n < room && sscanf(text, "%2x", &value) == 1; text += 2) bytes[n++] = value;
  return n;
}

static uint64_t state;
static uint32_t dice(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state >> 32;
}

// A plausible gratuitous ARP or RARP frame with one to four things wrong with it.
static size_t break_a_frame(uint8_t *frame) {
  uint8_t mac[6];
  uint32_t ip = 0x0a010100 + dice() % 256;
  mac_of(ip, mac);
  arp(frame, broadcast, 1 + dice() % 2, mac, ip, zero, ip);
  if (dice() % 8 == 0) frame[12] = 0x80, frame[13] = 0x35, frame[21] = 3;
  size_t length = 60;
  for (int faults = 1 + dice() % 4; faults > 0; faults--) {
    switch (dice() % 8) {
      case 0: length = 14 + dice() % 28; break;                        // cut inside the ARP packet
      case 1: frame[14 + dice() % 2] = dice(); break;                  // hardware type
      case 2: frame[16 + dice() % 2] = dice(); break;                  // protocol type
      case 3: frame[18 + dice() % 2] = dice(); break;                  // address lengths
      case 4: frame[20 + dice() % 2] = dice(); break;                  // opcode
      case 5: frame[22] |= 1; break;                                   // sender MAC is a group address
      case 6: frame[27] ^= 1 + dice() % 255; break;                    // sender MAC is not the source
      case 7: memset(frame + 28, dice() % 2 ? 0 : 0xff, 4); break;     // sender IP unspecified or broadcast
    }
  }
  return length;
}

static uint32_t ip_of(const char *text) {
  struct in_addr address;
  if (inet_pton(AF_INET, text, &address) != 1) {
    fprintf(stderr, "no IPv4 address: %s\n", text);
    exit(2);
  }
  return ntohl(address.s_addr);
}

static void obey(int in, char *line) {
  static uint8_t frame[4096];
  char text[LINE], ip[64];
  unsigned long count, seed;
  double pps;
  unsigned m[6];
  int fields;
  double start = now();
  if (sscanf(line, "send %8000s", text) == 1) {
    emit(frame, unhex(text, frame, sizeof frame));
  } else if (sscanf(line, "repeat %lu %lf %8000s", &count, &pps, text) == 3) {
    size_t length = unhex(text, frame, sizeof frame);
    for (unsigned long i = 0; i < count; i++) pace(in, start, i, pps), emit(frame, length);
  } else if (sscanf(line, "burst %63s %lu %lf", ip, &count, &pps) == 3) {
    uint32_t first = ip_of(ip);
    uint8_t mac[6];
    for (unsigned long i = 0; i < count; i++) {
      pace(in, start, i, pps);
      mac_of(first + i, mac);
      arp(frame, broadcast, 1, mac, first + i, zero, first + i);
      emit(frame, 60);
    }
  } else if (sscanf(line, "malformed %lu %lf %lu", &count, &pps, &seed) == 3) {
    state = seed * 2654435761u + 88172645463325252ull;
    for (unsigned long i = 0; i < count; i++) {
      pace(in, start, i, pps);
      emit(frame, break_a_frame(frame));
    }
  } else if ((fields = sscanf(line, "answer %63s %lu %x:%x:%x:%x:%x:%x", ip, &count, &m[0], &m[1], &m[2], &m[3], &m[4],
                              &m[5])) == 2 ||
             fields == 8) {
    if (used == RANGES) fprintf(stderr, "too many ranges\n"), exit(2);
    struct range *range = &ranges[used++];
    range->first = ip_of(ip);
    range->count = count;
    range->own_mac = fields == 8;
    for (int i = 0; i < 6 && fields == 8; i++) range->mac[i] = m[i];
  } else if (sscanf(line, "delay %lf", &pps) == 1) {
    delay = pps / 1000;
  } else if (strncmp(line, "mute", 4) == 0) {
    used = 0;
  } else {
    fprintf(stderr, "not understood: %s", line);
    exit(2);
  }
  printf("done %lu\n", sent);
}

static int packet_socket(int protocol, unsigned index) {
  int fd = socket(AF_PACKET, SOCK_RAW, htons(protocol));
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = index};
  if (fd < 0 || bind(fd, (void *)&address, sizeof address) < 0) fail("packet socket");
  return fd;
}

static int tap(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (fd < 0) fail("/dev/net/tun");
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  if (ioctl(fd, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
  return fd;
}

int main(int argc, char **argv) {
  is_tap = argc == 3 && strcmp(argv[1], "--tap") == 0;
  unsigned index = argc == 2 ? if_nametoindex(argv[1]) : 0;
  if (index == 0 && !is_tap) {
    fprintf(stderr, "usage: frames INTERFACE | frames --tap NAME\n");
    return 2;
  }
  int in;
  if (is_tap) {
    in = out = tap(argv[2]);
  } else {
    int megabytes = 64 << 20;
    in = packet_socket(ETH_P_ARP, index);
    setsockopt(in, SOL_SOCKET, SO_RCVBUFFORCE, &megabytes, sizeof megabytes);
    out = packet_socket(0, index);
    // The MAC of somebody else must reach us too: promiscuous for as long as the socket lives.
    struct packet_mreq promiscuous = {.mr_ifindex = index, .mr_type = PACKET_MR_PROMISC};
    setsockopt(in, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous);
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready\n");
  static char buffer[LINE * 2];
  size_t filled = 0;
  for (;;) {
    struct pollfd ready[2] = {{0, POLLIN, 0}, {in, POLLIN, 0}};
    poll(ready, 2, answer_late());
    if (ready[1].revents & POLLIN) answer_pending(in);
    if (ready[0].revents == 0) continue;
    ssize_t length = read(0, buffer + filled, sizeof buffer - filled - 1);
    if (length <= 0) return 0;
    filled += length;
    buffer[filled] = 0;
    char *line = buffer;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
      char saved = end[1];
      end[1] = 0;
      obey(in, line);
      end[1] = saved;
    }
    filled -= line - buffer;
    memmove(buffer, line, filled);
  }
}
