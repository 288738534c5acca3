// shellout: the floor for a daemon that drives ip(8): ARP frame in, the lines of one claim out to a long-lived
// `ip -force -batch -`. No proof, no state, no answer read back.
//
// usage (inside the router's namespace): shellout IFNAME
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int start_ip(void) {
  int ends[2];
  if (pipe(ends) < 0) return -1;
  pid_t child = fork();
  if (child < 0) return -1;
  if (child == 0) {
    dup2(ends[0], STDIN_FILENO);
    close(ends[1]);
    // What ip says of a refused line is of no interest here.
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(2);
    execlp("ip", "ip", "-force", "-batch", "-", NULL);
    _exit(2);
  }
  close(ends[0]);
  return ends[1];
}

int main(int count, char **words) {
  unsigned index = count == 2 ? if_nametoindex(words[1]) : 0;
  if (index == 0) {
    fprintf(stderr, "usage: shellout IFNAME\n");
    return 2;
  }
  int frames = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ARP)), size = 64 << 20;
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = (int)index};
  int ip = start_ip();
  if (ip < 0 || frames < 0 || bind(frames, (void *)&address, sizeof address) < 0) {
    perror("shellout");
    return 2;
  }
  setsockopt(frames, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    unsigned char frame[2048];
    char lines[512], host[INET_ADDRSTRLEN];
    struct sockaddr_ll from;
    socklen_t from_size = sizeof from;
    ssize_t length = recvfrom(frames, frame, sizeof frame, 0, (void *)&from, &from_size);
    if (length < 42 || from.sll_pkttype == PACKET_OUTGOING) continue;
    const unsigned char *mac = frame + 22;
    inet_ntop(AF_INET, frame + 28, host, sizeof host);
    int bytes = snprintf(lines, sizeof lines,
                         "neigh replace %s lladdr %02x:%02x:%02x:%02x:%02x:%02x dev %s nud permanent extern_learn\n"
                         "route replace %s/32 dev %s scope link proto 44 metric 1\n",
                         host, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], words[1], host, words[1]);
    if (write(ip, lines, bytes) != bytes) return 1;
  }
}
