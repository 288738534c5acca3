// Compiled into cap's binding (CXXFLAGS=-include, see build-native.mjs); cap's own sources stay as published.
//
// cap 0.2.1 is right for a packet sniffer and wrong for a daemon in nine places. Each is mended here by standing in
// for one function that binding.cc calls, and nothing else:
//
// - It asks for 65,535 bytes of every frame, and libpcap sizes the slots of the kernel's ring by that: 65,616 bytes
//   (in blocks of 128 KB) while TSO, GSO or GRO is on. ARP needs 42 bytes: at 128 a slot takes 208, so that 1 MB of
//   ring holds 5,035 frames instead of 16. The ring counts as resident memory of the process. It asks for as many
//   bytes as the buffer holds that is given to open().
// - Immediate mode depends on dlopen("libpcap.so"), a file of the -dev package: where only the runtime library is
//   installed every frame would be up to a second late.
// - Its read loop does not return to the event loop while frames keep coming, so that one flooded interface starves
//   the others, every timer, and injection.
// - A handle that fails to open is neither closed nor may it be destroyed (it stops a poll that was never started).
// - The same when it fails after activation, because its interface went down in that moment.
// - A Cap that is collected as garbage crashes the process when no JavaScript context is entered just then.
// - A closed handle is freed while it still stands in libuv's list of handles. The caller must keep a closed Cap
//   reachable until the next turn of the event loop.
// - When its interface goes down the poll ends for good; the kernel would resume delivery when it comes up again.
// - It looks up the network of the interface, which its filters do not use, with an AF_INET socket. Where the unit
//   forbids those, it warns on standard error each time.
//
// And it cannot tell what the kernel dropped: send(buffer, 0), an error otherwise, fills the first 8 bytes of the
// buffer with libpcap's ps_recv and ps_drop (host order), counted since the handle was opened. Nor when a frame came:
// send(buffer, 1) fills them with seconds and microseconds of the frame read last, of whichever handle.
#ifndef MARPD_CAP_BUILD_H
#define MARPD_CAP_BUILD_H

#include <nan.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

// build-native.mjs and native.ts look for this text in the binary.
__attribute__((used)) static const char marpd_cap_build[] = "marpd-cap-build-4";

// Stands in for Nan::AsyncResource, whose destructor looks up the current context. A Cap is destroyed by the garbage
// collector, which may run where none is entered (in EmitPacket), and Node then follows a null pointer.
namespace Nan {
class MarpdAsyncResource {
 public:
  explicit MarpdAsyncResource(const char*) {}
  MaybeLocal<v8::Value> runInAsyncScope(v8::Local<v8::Object> target, v8::Local<v8::Function> function, int count,
                                        v8::Local<v8::Value>* values) {
    return node::MakeCallback(v8::Isolate::GetCurrent(), target, function, count, values, {0, 0});
  }
};
}  // namespace Nan

// Frames read in one go, about 0.2 ms of work, before other handles have their turn.
static const int marpd_run_frames = 64;

static char marpd_error[2 * PCAP_ERRBUF_SIZE];
static int marpd_run = 0;
static uv_poll_cb marpd_on_readable = nullptr;

static inline int marpd_lookupnet(bpf_u_int32* net, bpf_u_int32* mask) {
  *net = *mask = 0;
  return 0;
}

static inline int marpd_activate(pcap_t*& handle, size_t snap_bytes) {
  (pcap_set_snaplen)(handle, static_cast<int>(snap_bytes));
  pcap_set_immediate_mode(handle, 1);
  int status = (pcap_activate)(handle);
  if (status >= 0) return 0;  // a positive status is a warning
  snprintf(marpd_error, sizeof marpd_error, "%s (%s)", pcap_statustostr(status), (pcap_geterr)(handle));
  (pcap_close)(handle);
  handle = nullptr;
  return status;
}

// A failure after activation (the interface went down meanwhile): binding.cc throws and keeps the handle, which the
// garbage collector would destroy together with a poll that was never started.
static inline int marpd_give_up(pcap_t*& handle) {
  snprintf(marpd_error, sizeof marpd_error, "%s", (pcap_geterr)(handle));
  (pcap_close)(handle);
  handle = nullptr;
  return -1;
}

static inline int marpd_setnonblock(pcap_t*& handle, int on, char* error) {
  if ((pcap_setnonblock)(handle, on, error) != -1) return 0;
  return marpd_give_up(handle);
}

static inline int marpd_compile(pcap_t*& handle, bpf_program* code, const char* text, int optimize, bpf_u_int32 mask) {
  if ((pcap_compile)(handle, code, text, optimize, mask) != -1) return 0;
  return marpd_give_up(handle);
}

static inline int marpd_setfilter(pcap_t*& handle, bpf_program* code) {
  if ((pcap_setfilter)(handle, code) != -1) return 0;
  (pcap_freecode)(code);
  return marpd_give_up(handle);
}

static inline char* marpd_geterr(pcap_t* handle) {
  return handle == nullptr ? marpd_error : (pcap_geterr)(handle);
}

static struct timeval marpd_stamp;
static pcap_handler marpd_on_frame = nullptr;

static void marpd_take_stamp(u_char* user, const pcap_pkthdr* header, const u_char* bytes) {
  marpd_stamp = header->ts;
  marpd_on_frame(user, header, bytes);
}

static inline int marpd_dispatch(pcap_t* handle, int count, pcap_handler callback, u_char* user) {
  if (marpd_run == marpd_run_frames) {
    marpd_run = 0;
    return 0;
  }
  marpd_on_frame = callback;
  int read = (pcap_dispatch)(handle, count, marpd_take_stamp, user);
  marpd_run = read > 0 ? marpd_run + 1 : 0;
  return read;
}

static inline int marpd_sendpacket(pcap_t* handle, const u_char* bytes, int length) {
  if (length > 1) return (pcap_sendpacket)(handle, bytes, length);
  if (length == 1) {
    const bpf_u_int32 stamp[2] = {static_cast<bpf_u_int32>(marpd_stamp.tv_sec),
                                  static_cast<bpf_u_int32>(marpd_stamp.tv_usec)};
    memcpy(const_cast<u_char*>(bytes), stamp, sizeof stamp);
    return 0;
  }
  struct pcap_stat stat;
  if (pcap_stats(handle, &stat) != 0) return -1;
  memcpy(const_cast<u_char*>(bytes), &stat.ps_recv, 4);
  memcpy(const_cast<u_char*>(bytes) + 4, &stat.ps_drop, 4);
  return 0;
}

static void marpd_on_poll(uv_poll_t* poll, int status, int events) {
  if (status == 0) return marpd_on_readable(poll, status, events);
  // ENETDOWN stands as the socket's error until it is read, and libuv has stopped the poll because of it.
  uv_os_fd_t fd;
  int error;
  socklen_t size = sizeof error;
  if (uv_fileno(reinterpret_cast<uv_handle_t*>(poll), &fd) != 0) return;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0) (uv_poll_start)(poll, UV_READABLE, marpd_on_poll);
}

static inline int marpd_poll_start(uv_poll_t* poll, int events, uv_poll_cb callback) {
  marpd_on_readable = callback;
  return (uv_poll_start)(poll, events, marpd_on_poll);
}

static inline int marpd_poll_stop(uv_poll_t* poll) {
  int status = (uv_poll_stop)(poll);
  uv_close(reinterpret_cast<uv_handle_t*>(poll), nullptr);
  return status;
}

#define AsyncResource MarpdAsyncResource
#define pcap_lookupnet(device, net, mask, error) marpd_lookupnet(net, mask)
#define pcap_activate(handle) marpd_activate(handle, obj->buffer_length)  // a local of binding.cc
#define pcap_setnonblock(handle, on, error) marpd_setnonblock(handle, on, error)
#define pcap_compile(handle, code, text, optimize, mask) marpd_compile(handle, code, text, optimize, mask)
#define pcap_setfilter(handle, code) marpd_setfilter(handle, code)
#define pcap_geterr(handle) marpd_geterr(handle)
#define pcap_dispatch(handle, count, callback, user) marpd_dispatch(handle, count, callback, user)
#define pcap_sendpacket(handle, bytes, length) marpd_sendpacket(handle, bytes, length)
#define uv_poll_start(poll, events, callback) marpd_poll_start(poll, events, callback)
#define uv_poll_stop(poll) marpd_poll_stop(poll)

#endif
