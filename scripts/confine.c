// confine OPTIONS PROGRAM [ARGUMENT ...]
//
// Runs a program with no more capabilities than its task needs. OPTIONS is a list such as `nobody,net_raw`:
//
//   net_admin, net_raw, dac_read_search   is kept; every other capability is dropped
//   nobody                                as user nobody, if we are root and may still end such a process
//   rr                                    at the lowest real-time priority, if that is allowed
//   none                                  nothing of these
//
// setpriv(1) empties the bounding set, which takes CAP_SETPCAP: a container, a trimmed start and a service do not have it.
// Nothing is needed to give up one's own permitted capabilities. With no_new_privs execve(2) does not return them, not
// even to root: the kernel leaves the intersection of what root would get and what was permitted before.
//
// What cannot be dropped stays, and the program is started all the same: the daemon reads /proc/PID/status and says so.

#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534
#define BIT(cap) (UINT64_C(1) << (cap))

static uint64_t permitted(void) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0}};
  syscall(SYS_capget, &head, data);
  return (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

static void keep_only(uint64_t caps) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++) {
    uint32_t word = (uint32_t)(caps >> (32 * i));
    data[i] = (struct __user_cap_data_struct){.effective = word, .permitted = word, .inheritable = word};
  }
  syscall(SYS_capset, &head, data);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // Another user than root keeps over execve only what is ambient.
  for (int cap = 0; cap < 64; cap++)
    if (caps & BIT(cap)) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: confine OPTIONS PROGRAM [ARGUMENT ...]\n");
    return 2;
  }
  uint64_t keep = 0;
  int nobody = 0;
  for (char *word = strtok(argv[1], ","); word != NULL; word = strtok(NULL, ",")) {
    if (strcmp(word, "net_admin") == 0) keep |= BIT(CAP_NET_ADMIN);
    else if (strcmp(word, "net_raw") == 0) keep |= BIT(CAP_NET_RAW);
    else if (strcmp(word, "dac_read_search") == 0) keep |= BIT(CAP_DAC_READ_SEARCH);
    else if (strcmp(word, "nobody") == 0) nobody = 1;
    else if (strcmp(word, "rr") == 0) sched_setscheduler(0, SCHED_RR, &(struct sched_param){.sched_priority = 1});
    else if (strcmp(word, "none") != 0) {
      fprintf(stderr, "confine: unknown option %s\n", word);
      return 2;
    }
  }

  uint64_t have = permitted();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (have & BIT(CAP_SETPCAP))
    for (int cap = 0; cap < 64; cap++)
      if (!(keep & BIT(cap))) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
  // Without CAP_KILL root could not end a process of another user, and the death signal would not reach it either.
  uint64_t change_user = BIT(CAP_SETUID) | BIT(CAP_SETGID) | BIT(CAP_KILL);
  if (nobody && getuid() == 0 && (have & change_user) == change_user) {
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0) {
      fprintf(stderr, "confine: cannot become nobody: %s\n", strerror(errno));
      return 126;
    }
  }
  keep_only(keep & have);
  // Cleared by a change of user, so it comes last. A process that hangs must not outlive the daemon.
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  const char *slash = strrchr(argv[2], '/');
  const char *program = argv[2];
  if (slash != NULL) argv[2] += slash + 1 - argv[2];
  execvp(program, argv + 2);
  fprintf(stderr, "confine: %s: %s\n", program, strerror(errno));
  return 127;
}
