// Neighbor Discovery (RFC 4861) and MLD reports (RFC 3810) for the instruments: frames of hosts whose addresses share
// their first 12 bytes and differ in the other four, which are called the host's number.
#ifndef ND_H
#define ND_H

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

enum {
  ND_FRAME = 86,
  ND_PAYLOAD = 54,
  ND_SOLICITATION = 135,
  ND_ADVERTISEMENT = 136,
  ND_ROUTER = 0x80,
  ND_SOLICITED = 0x40,
  ND_OVERRIDE = 0x20,
  MLD_FRAME = 90,
};

static uint8_t nd_prefix[12];

// Reads an address of either family into its number. Returns 1 for IPv6, 0 for IPv4, -1 for neither.
static inline int nd_address(const char *text, uint32_t *number) {
  uint8_t bytes[16];
  if (inet_pton(AF_INET6, text, bytes) == 1) {
    memcpy(nd_prefix, bytes, 12);
    memcpy(number, bytes + 12, 4);
    *number = ntohl(*number);
    return 1;
  }
  if (inet_pton(AF_INET, text, bytes) != 1) return -1;
  memcpy(number, bytes, 4);
  *number = ntohl(*number);
  return 0;
}

static inline void nd_write_ip(uint8_t *at, uint32_t number) {
  uint32_t low = htonl(number);
  memcpy(at, nd_prefix, 12);
  memcpy(at + 12, &low, 4);
}

// 1 and the number: the 16 bytes are an address with the common prefix.
static inline int nd_read_ip(const uint8_t *at, uint32_t *number) {
  memcpy(number, at + 12, 4);
  *number = ntohl(*number);
  return memcmp(at, nd_prefix, 12) == 0;
}

static inline void nd_link_local(uint8_t *at, const uint8_t *mac) {
  memset(at, 0, 16);
  at[0] = 0xfe, at[1] = 0x80, at[11] = 0xff, at[12] = 0xfe;
  memcpy(at + 8, mac, 3), memcpy(at + 13, mac + 3, 3);
  at[8] ^= 2;
}

static inline void nd_all_nodes(uint8_t *frame) {
  static const uint8_t mac[] = {0x33, 0x33, 0, 0, 0, 1}, group[16] = {0xff, 2, [15] = 1};
  memcpy(frame, mac, 6), memcpy(frame + 38, group, 16);
}

// The checksum of RFC 4443 section 2.3, of the `bytes` that begin at `at`.
static inline void nd_checksum(uint8_t *frame, int at, int bytes) {
  uint32_t sum = bytes + 58;
  frame[at + 2] = frame[at + 3] = 0;
  for (int i = 22; i < 54; i += 2) sum += frame[i] << 8 | frame[i + 1];
  for (int i = at; i < at + bytes; i += 2) sum += frame[i] << 8 | frame[i + 1];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  sum = ~sum;
  frame[at + 2] = sum >> 8, frame[at + 3] = sum;
}

static inline void nd_head(uint8_t *frame, const uint8_t *mac, int payload, int next, int hops) {
  const uint8_t head[] = {0x86, 0xdd, 0x60, 0, 0, 0, 0, payload, next, hops};
  memcpy(frame + 6, mac, 6);
  memcpy(frame + 12, head, sizeof head);
}

// An unsolicited advertisement to all nodes, with its option. Returns its length.
static inline int nd_announcement(uint8_t *frame, const uint8_t *mac, uint32_t number) {
  memset(frame, 0, ND_FRAME);
  nd_all_nodes(frame);
  nd_head(frame, mac, 32, 58, 255);
  nd_write_ip(frame + 22, number);
  frame[ND_PAYLOAD] = ND_ADVERTISEMENT;
  frame[58] = ND_OVERRIDE;
  nd_write_ip(frame + 62, number);
  frame[78] = 2, frame[79] = 1;
  memcpy(frame + 80, mac, 6);
  nd_checksum(frame, ND_PAYLOAD, 32);
  return ND_FRAME;
}

// Asks for `target` in the name of `number`, sent to its group. Returns its length.
static inline int nd_question(uint8_t *frame, const uint8_t *mac, uint32_t number, uint32_t target) {
  memset(frame, 0, ND_FRAME);
  nd_head(frame, mac, 32, 58, 255);
  nd_write_ip(frame + 22, number);
  frame[38] = 0xff, frame[39] = 2, frame[49] = 1, frame[50] = 0xff;
  nd_write_ip(frame + 62, target);
  memcpy(frame + 51, frame + 75, 3);
  frame[0] = frame[1] = 0x33;
  memcpy(frame + 2, frame + 50, 4);
  frame[ND_PAYLOAD] = ND_SOLICITATION;
  frame[78] = 1, frame[79] = 1;
  memcpy(frame + 80, mac, 6);
  nd_checksum(frame, ND_PAYLOAD, 32);
  return ND_FRAME;
}

// The target of a solicitation that is not part of duplicate address detection. Returns 0 when the frame is none.
static inline int nd_asked(const uint8_t *question, long length, uint32_t *target) {
  static const uint8_t nobody[16];
  return length >= 78 && question[12] == 0x86 && question[13] == 0xdd && question[20] == 58 &&
         question[ND_PAYLOAD] == ND_SOLICITATION && memcmp(question + 22, nobody, 16) != 0 &&
         nd_read_ip(question + 62, target);
}

// What Linux answers to a unicast solicitation: no option, O = 0. Returns its length.
static inline int nd_answer(uint8_t *frame, const uint8_t *mac, const uint8_t *question, uint32_t number) {
  memset(frame, 0, ND_FRAME);
  memcpy(frame, question + 6, 6);
  nd_head(frame, mac, 24, 58, 255);
  nd_write_ip(frame + 22, number);
  memcpy(frame + 38, question + 22, 16);
  frame[ND_PAYLOAD] = ND_ADVERTISEMENT;
  frame[58] = ND_SOLICITED;
  nd_write_ip(frame + 62, number);
  nd_checksum(frame, ND_PAYLOAD, 24);
  return 78;
}

// A report of version 2 with one record: this MAC listens to the group of `number`. Returns its length.
static inline int mld_report(uint8_t *frame, const uint8_t *mac, uint32_t number) {
  static const uint8_t to[] = {0x33, 0x33, 0, 0, 0, 0x16}, group[16] = {0xff, 2, [15] = 0x16};
  static const uint8_t alert[] = {58, 0, 5, 2, 0, 0, 1, 0}, record[] = {4, 0, 0, 0};
  uint32_t low = htonl(number);
  memset(frame, 0, MLD_FRAME);
  memcpy(frame, to, 6);
  nd_head(frame, mac, 36, 0, 1);
  nd_link_local(frame + 22, mac);
  memcpy(frame + 38, group, 16);
  memcpy(frame + 54, alert, 8);
  frame[62] = 143, frame[69] = 1;
  memcpy(frame + 70, record, 4);
  memcpy(frame + 74 + 12, &low, 4);
  frame[74] = 0xff, frame[75] = 2, frame[85] = 1, frame[86] = 0xff;
  nd_checksum(frame, 62, 28);
  return MLD_FRAME;
}

#endif
