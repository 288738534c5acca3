// limit: the floor for "ARP frame in, kernel host route out" on this machine: AF_PACKET recv -> RTM_NEWROUTE, and
// nothing else. No neighbour entry, no proof, no state.
//
// usage (inside the router's namespace): limit IFNAME
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void attribute(struct nlmsghdr *message, int type, const void *value, int bytes) {
  struct rtattr *attribute = (void *)((char *)message + message->nlmsg_len);
  attribute->rta_type = type;
  attribute->rta_len = RTA_LENGTH(bytes);
  memcpy(RTA_DATA(attribute), value, bytes);
  message->nlmsg_len += attribute->rta_len;
}

int main(int count, char **words) {
  int index = count == 2 ? (int)if_nametoindex(words[1]) : 0;
  if (index == 0) {
    fprintf(stderr, "usage: limit IFNAME\n");
    return 2;
  }
  int frames = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ARP)), size = 64 << 20;
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = index};
  int routes = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  if (bind(frames, (void *)&address, sizeof address) < 0 || bind(routes, (void *)&kernel, sizeof kernel) < 0) {
    perror("limit");
    return 2;
  }
  setsockopt(frames, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  printf("ready\n");
  fflush(stdout);
  struct {
    struct nlmsghdr head;
    struct rtmsg route;
    char attributes[64];
  } ask;
  unsigned char frame[2048];
  for (;;) {
    struct sockaddr_ll from;
    socklen_t from_size = sizeof from;
    ssize_t length = recvfrom(frames, frame, sizeof frame, 0, (void *)&from, &from_size);
    if (length < 42 || from.sll_pkttype == PACKET_OUTGOING) continue;
    memset(&ask, 0, sizeof ask);
    ask.head.nlmsg_len = NLMSG_LENGTH(sizeof ask.route);
    ask.head.nlmsg_type = RTM_NEWROUTE;
    ask.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
    ask.route = (struct rtmsg){.rtm_family = AF_INET,
                               .rtm_dst_len = 32,
                               .rtm_table = RT_TABLE_MAIN,
                               .rtm_protocol = 44,
                               .rtm_scope = RT_SCOPE_LINK,
                               .rtm_type = RTN_UNICAST};
    attribute(&ask.head, RTA_DST, frame + 28, 4);
    attribute(&ask.head, RTA_OIF, &index, 4);
    send(routes, &ask, ask.head.nlmsg_len, 0);
  }
}
