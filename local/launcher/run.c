// ambit-run: makes the surroundings of one process, step by step as its arguments say, then becomes that process.
//
//   ambit-run STEP... -- PROGRAM ARGUMENT...      ambit-run STEP... pause      ambit-run STEP... connect ADDRESS PORT
//
// The plan is made in TypeScript (plan.ts); this file only executes it. No libc: it must run in any root file system.
// A step that fails ends everything with status 125 and one line on standard error: nothing runs half prepared.
// After `fork` the first process waits, passes signals on and ends with the child's status (128 + signal when killed).
#include "sys.h"

enum {
  AT_CWD = -100, AT_EMPTY_PATH = 0x1000, AT_RECURSIVE = 0x8000,
  O_WRONLY = 1, O_RDWR = 2, O_CREAT = 0100, O_TRUNC = 01000, O_CLOEXEC = 02000000, O_PATH = 010000000,
  MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_BIND = 4096, MS_REC = 16384,
  MS_PRIVATE = 1 << 18, MS_SLAVE = 1 << 19, MS_SHARED = 1 << 20, MNT_DETACH = 2,
  NEW_NS = 0x20000, NEW_CGROUP = 0x02000000, NEW_UTS = 0x04000000, NEW_IPC = 0x08000000, NEW_PID = 0x20000000, NEW_NET = 0x40000000,
  SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGKILL = 9, SIGUSR1 = 10, SIGUSR2 = 12, SIGTERM = 15, SIGCHLD = 17, SIGWINCH = 28,
  PR_SET_PDEATHSIG = 1, PR_CAPBSET_DROP = 24, PR_SET_NO_NEW_PRIVS = 38, EINTR = 4, EEXIST = 17, EINVAL = 22, TIOCSCTTY = 0x540E, TIOCSWINSZ = 0x5414, TIOCGPTN = 0x80045430, TIOCSPTLCK = 0x40045431, O_NOCTTY = 0400,
  RESOLVE_IN_ROOT = 0x10
};
#if defined(__x86_64__)
enum { O_DIRECTORY = 0200000 };
#else
enum { O_DIRECTORY = 040000 };
#endif

// What is applied last, just before the program runs.
static struct {
  uword uid, gid, keep_caps;
  unsigned int groups[32];
  int group_count, change_user, limit_caps, no_new_privs;
  const char *cwd;
} final = {.cwd = "/"};
static const char *pid_file;
static const char *new_root;  // set between `root` and `pivot`: destinations are below it
static char **environment;

static __attribute__((noreturn)) void leave(int status) {
  for (;;) SYS1(SYS_exit_group, status);
}
static __attribute__((noreturn)) void fail(const char *step, const char *what, word error) {
  char text[24];
  decimal(text, (uword)-error);
  say("ambit-run: "), say(step), say(" "), say(what), say(": errno "), say(text), say("\n");
  leave(125);
}
static word must(word result, const char *step, const char *what) {
  if (result < 0) fail(step, what, result);
  return result;
}

static void write_file(const char *path, const char *text, const char *step) {
  word fd = must(SYS4(SYS_openat, AT_CWD, path, O_WRONLY | O_CLOEXEC, 0), step, path);
  must(SYS3(SYS_write, fd, text, length(text)), step, path);
  SYS1(SYS_close, fd);
}
static void join(char *to, const char *a, const char *b, const char *c) {
  const char *parts[] = {a, b, c};
  uword n = 0;
  for (int i = 0; i < 3; i++)
    for (const char *s = parts[i]; *s && n < 4094; s++) to[n++] = *s;
  to[n] = 0;
}

// Destinations are looked up as if the new root already were the root, whatever symbolic links a volume holds.
struct open_how { unsigned long flags, mode, resolve; };
static word open_in_root(const char *path, uword flags) {
  struct open_how how = {flags | O_CLOEXEC, 0, RESOLVE_IN_ROOT};
  word root = must(SYS4(SYS_openat, AT_CWD, new_root ? new_root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0), "open", "root");
  word fd = SYS4(SYS_openat2, root, path[0] == '/' && path[1] == 0 ? "." : path, &how, sizeof how);
  SYS1(SYS_close, root);
  return fd;
}
// Opens PATH below the root, making it (and what leads to it) when missing: a directory, or an empty file.
static word open_target(const char *path, int directory) {
  char part[4096];
  word fd = open_in_root(path, O_PATH);
  if (fd >= 0) return fd;
  for (uword i = 1;; i++) {
    if (path[i] != '/' && path[i] != 0) continue;
    uword last = i - 1;
    while (last > 0 && path[last] != '/') last--;
    memcpy(part, path, i), part[i] = 0;
    fd = open_in_root(part, O_PATH);
    if (fd < 0) {
      part[last] = 0;
      word parent = must(open_in_root(last ? part : "/", O_PATH | O_DIRECTORY), "make", path);
      const char *name = part + last + 1;
      int file = path[i] == 0 && !directory;
      fd = file ? SYS4(SYS_openat, parent, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : SYS3(SYS_mkdirat, parent, name, 0755);
      must(fd == -EEXIST ? 0 : fd, "make", path);
      SYS1(SYS_close, parent);
      part[last] = '/';
      if (file) SYS1(SYS_close, fd);
      fd = must(open_in_root(part, O_PATH), "make", path);
    }
    if (path[i] == 0) return fd;
    SYS1(SYS_close, fd);
  }
}

struct mount_attr { unsigned long set, clear, propagation, userns; };
// A bind mount: FLAGS are the letters r (read-only), R (recursive), p (private propagation).
static void bind(const char *flags, const char *source, const char *target) {
  int recursive = 0;
  struct mount_attr attr = {0, 0, 0, 0};
  for (; *flags; flags++) {
    if (*flags == 'R') recursive = AT_RECURSIVE;
    if (*flags == 'r') attr.set |= MS_RDONLY;
    if (*flags == 'p') attr.propagation = MS_PRIVATE;
  }
  word is_dir = SYS4(SYS_openat, AT_CWD, source, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  word tree = must(SYS3(SYS_open_tree, AT_CWD, source, 1 | O_CLOEXEC | recursive), "bind", source);
  if (attr.set | attr.propagation)
    must(sys(SYS_mount_setattr, tree, (word) "", AT_EMPTY_PATH | recursive, (word)&attr, sizeof attr), "bind", source);
  word to = open_target(target, is_dir >= 0);
  must(sys(SYS_move_mount, tree, (word) "", to, (word) "", 0x4 | 0x40), "bind", target);
  SYS1(SYS_close, tree), SYS1(SYS_close, to);
  if (is_dir >= 0) SYS1(SYS_close, is_dir);
}
static void mount_new(const char *type, const char *target, const char *options, uword flags) {
  char path[64] = "/proc/self/fd/";
  word to = open_target(target, 1);
  decimal(path + 14, (uword)to);
  must(sys(SYS_mount, (word)type, (word)path, (word)type, (word)flags, (word)options), type, target);
  SYS1(SYS_close, to);
}

static const struct { const char *name; uword flag; } namespaces[] = {
  {"cgroup", NEW_CGROUP}, {"uts", NEW_UTS}, {"ipc", NEW_IPC}, {"net", NEW_NET}, {"pid", NEW_PID}, {"mnt", NEW_NS},
};
static int listed(const char *list, const char *name) {
  uword n = length(name);
  for (const char *s = list; *s; s++) {
    uword i = 0;
    while (i < n && s[i] == name[i]) i++;
    if (i == n && (s[n] == ',' || s[n] == 0) && (s == list || s[-1] == ',')) return 1;
  }
  return 0;
}
// Opens every namespace file first: after joining mnt, /proc may be another one.
static void enter(const char *pid, const char *list) {
  word fds[6];
  char prefix[64], path[128];
  join(prefix, "/proc/", pid, "/ns/");
  for (int i = 0; i < 6; i++) {
    join(path, prefix, namespaces[i].name, "");
    fds[i] = listed(list, namespaces[i].name) ? must(SYS4(SYS_openat, AT_CWD, path, O_CLOEXEC, 0), "enter", path) : -1;
  }
  for (int i = 0; i < 6; i++)
    if (fds[i] >= 0) must(SYS2(SYS_setns, fds[i], namespaces[i].flag), "enter", namespaces[i].name), SYS1(SYS_close, fds[i]);
}
static void unshare(const char *list) {
  uword flags = 0;
  for (int i = 0; i < 6; i++)
    if (listed(list, namespaces[i].name)) flags |= namespaces[i].flag;
  must(SYS1(SYS_unshare, flags), "unshare", list);
}

static uword mask_of(const int *signals, int count) {
  uword mask = 0;
  for (int i = 0; i < count; i++) mask |= 1UL << (signals[i] - 1);
  return mask;
}
static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH, SIGCHLD};

static __attribute__((noreturn)) void wait_for(word child) {
  uword mask = mask_of(passed_on, 8);
  SYS1(SYS_close, 0), SYS1(SYS_close, 1);  // theirs alone: whoever reads must see the end when the child closes
  for (;;) {
    int status;
    word gone = SYS4(SYS_wait4, child, &status, 1 /* WNOHANG */, 0);
    if (gone == child) leave((status & 0x7f) ? 128 + (status & 0x7f) : (status >> 8) & 0xff);
    word signal = SYS4(SYS_rt_sigtimedwait, &mask, 0, 0, 8);
    if (signal > 0 && signal != SIGCHLD) SYS2(SYS_kill, child, signal);
  }
}
static void fork_here(void) {
  uword mask = mask_of(passed_on, 8), none = 0;
  word fd = -1;
  // Opened before the fork: the child may replace the root of the mount namespace that both are in.
  if (pid_file) fd = must(SYS4(SYS_openat, AT_CWD, pid_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), "pid-file", pid_file);
  SYS4(SYS_rt_sigprocmask, 2, &mask, 0, 8);
  word child = must(sys(SYS_clone, SIGCHLD, 0, 0, 0, 0), "fork", "");
  if (child == 0) {
    if (fd >= 0) SYS1(SYS_close, fd);
    SYS4(SYS_rt_sigprocmask, 2, &none, 0, 8);
    SYS2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
    return;
  }
  if (pid_file) {
    char text[24];
    decimal(text, (uword)child);
    SYS3(SYS_write, fd, text, length(text));
    SYS1(SYS_close, fd);
  }
  wait_for(child);
}

// Sleeps until told to end, burying orphans: the first process of a node or a pod. Closing standard output says "ready".
static __attribute__((noreturn)) void pause_here(void) {
  static const int ends[] = {SIGTERM, SIGINT, SIGCHLD};
  uword mask = mask_of(ends, 3);
  SYS4(SYS_rt_sigprocmask, 2, &mask, 0, 8);
  SYS1(SYS_close, 1);
  for (;;) {
    word signal = SYS4(SYS_rt_sigtimedwait, &mask, 0, 0, 8);
    while (SYS4(SYS_wait4, -1, 0, 1, 0) > 0) continue;
    if (signal == SIGTERM || signal == SIGINT) leave(0);
  }
}

// IPv4 text only: what a relay is asked for is 127.0.0.1 or a pod's address. IPv6 comes as 32 hexadecimal digits.
static word dial(const char *address, const char *port) {
  unsigned char to[28] = {0};
  uword p = number(port, 10), n = 0;
  int six = length(address) == 32;
  to[0] = six ? 10 : 2, to[2] = (unsigned char)(p >> 8), to[3] = (unsigned char)p;
  for (const char *s = address; *s && !six; s++) {
    if (*s == '.') n++;
    else to[4 + n] = (unsigned char)(to[4 + n] * 10 + (*s - '0'));
  }
  for (int i = 0; i < 16 && six; i++) {
    char byte[3] = {address[2 * i], address[2 * i + 1], 0};
    to[8 + i] = (unsigned char)number(byte, 16);
  }
  word fd = must(SYS3(SYS_socket, to[0], 1 | O_CLOEXEC, 0), "connect", address);
  must(SYS3(SYS_connect, fd, to, six ? 28 : 16), "connect", address);
  return fd;
}
static int copy(word from, word to) {
  static char buffer[65536];
  word n = SYS3(SYS_read, from, buffer, sizeof buffer);
  for (word done = 0; done < n;) {
    word written = SYS3(SYS_write, to, buffer + done, n - done);
    if (written <= 0) return 0;
    done += written;
  }
  return n > 0;
}
static __attribute__((noreturn)) void relay(const char *address, const char *port) {
  word fd = dial(address, port);
  struct { int fd; short events, revents; } polled[2] = {{0, 1, 0}, {(int)fd, 1, 0}};
  for (;;) {
    word ready = sys(SYS_ppoll, (word)polled, 2, 0, 0, 8);
    if (ready == -EINTR) continue;
    must(ready, "connect", "poll");
    if (polled[0].revents && !copy(0, fd)) SYS2(SYS_shutdown, fd, 1), polled[0].fd = -1;
    if (polled[1].revents && !copy(fd, 1)) leave(0);
  }
}

// A terminal for what follows: this process stays outside and copies between its own input and output and the master side.
// Descriptor 3, when open, brings window sizes: pairs of 16-bit numbers (rows, columns) in network order.
static void set_size(word master) {
  unsigned char b[4];
  unsigned short size[4] = {0, 0, 0, 0};
  if (SYS3(SYS_read, 3, b, 4) != 4) return;
  size[0] = (unsigned short)(b[0] << 8 | b[1]), size[1] = (unsigned short)(b[2] << 8 | b[3]);
  SYS3(SYS_ioctl, master, TIOCSWINSZ, size);
}
static __attribute__((noreturn)) void serve_terminal(word master, word child) {
  struct { int fd; short events, revents; } polled[3] = {{0, 1, 0}, {(int)master, 1, 0}, {3, 1, 0}};
  for (;;) {
    word ready = sys(SYS_ppoll, (word)polled, 3, 0, 0, 8);
    if (ready == -EINTR) continue;
    if (polled[0].revents && !copy(0, master)) SYS3(SYS_write, master, "\4", 1), polled[0].fd = -1;
    if (polled[1].revents && !copy(master, 1)) break;
    if (polled[2].revents & 1) set_size(master);
    if (polled[2].revents & ~1) polled[2].fd = -1;
  }
  wait_for(child);
}
static void open_terminal(void) {
  int zero = 0, index = 0;
  char path[32] = "/dev/pts/";
  word master = must(SYS4(SYS_openat, AT_CWD, "/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0), "terminal", "/dev/ptmx");
  must(SYS3(SYS_ioctl, master, TIOCSPTLCK, &zero), "terminal", "unlock");
  must(SYS3(SYS_ioctl, master, TIOCGPTN, &index), "terminal", "number");
  decimal(path + 9, (uword)index);
  word slave = must(SYS4(SYS_openat, AT_CWD, path, O_RDWR | O_NOCTTY | O_CLOEXEC, 0), "terminal", path);
  uword mask = mask_of(passed_on, 8), none = 0;
  SYS4(SYS_rt_sigprocmask, 2, &mask, 0, 8);
  word child = must(sys(SYS_clone, SIGCHLD, 0, 0, 0, 0), "terminal", "fork");
  if (child) SYS1(SYS_close, slave), serve_terminal(master, child);
  SYS4(SYS_rt_sigprocmask, 2, &none, 0, 8);
  for (word fd = 0; fd < 3; fd++) must(SYS3(SYS_dup3, slave, fd, 0), "terminal", "dup");
  SYS1(SYS_close, 3);
  must(SYS1(SYS_setsid, 0), "terminal", "session");
  must(SYS3(SYS_ioctl, 0, TIOCSCTTY, 0), "terminal", "control");
}

static void apply_final(void) {
  if (final.limit_caps)
    for (uword cap = 0; cap < 64; cap++)
      if (!(final.keep_caps >> cap & 1) && SYS2(SYS_prctl, PR_CAPBSET_DROP, cap) == -EINVAL) break;
  if (final.change_user) {
    must(SYS2(SYS_setgroups, final.group_count, final.groups), "groups", "");
    must(SYS3(SYS_setresgid, final.gid, final.gid, final.gid), "user", "gid");
    must(SYS3(SYS_setresuid, final.uid, final.uid, final.uid), "user", "uid");
  }
  if (final.limit_caps) {
    struct { unsigned int version; int pid; } header = {0x20080522, 0};
    uword keep = final.change_user && final.uid ? 0 : final.keep_caps;
    unsigned int sets[6] = {(unsigned int)keep, (unsigned int)keep, 0, (unsigned int)(keep >> 32), (unsigned int)(keep >> 32), 0};
    must(SYS2(SYS_capset, &header, sets), "keep-caps", "");
  }
  if (final.no_new_privs) must(sys(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no-new-privs", "");
  must(SYS1(SYS_chdir, final.cwd), "cwd", final.cwd);
}
static __attribute__((noreturn)) void become(char **program) {
  char path[4096];
  const char *search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  if (!program[0]) fail("--", "needs a program", -EINVAL);
  apply_final();
  int has_slash = 0;
  for (const char *s = program[0]; *s; s++) has_slash |= *s == '/';
  word error = has_slash ? SYS3(SYS_execve, program[0], program, environment) : 0;
  for (const char *s = search; *s && !has_slash;) {
    uword n = 0;
    while (*s && *s != ':') path[n++] = *s++;
    if (*s) s++;
    path[n] = 0;
    join(path + n, "/", program[0], "");
    error = SYS3(SYS_execve, path, program, environment);
  }
  char text[24];
  decimal(text, (uword)-error);
  say("ambit-run: cannot run "), say(program[0]), say(": errno "), say(text), say("\n");
  leave(error == -13 ? 126 : 127);
}

static void make_root(const char *directory) {
  must(sys(SYS_mount, (word) "tmpfs", (word)directory, (word) "tmpfs", MS_NOSUID, (word) "mode=755,size=64m"), "root", directory);
  new_root = directory;
}
static void pivot(void) {
  must(SYS1(SYS_chdir, new_root), "pivot", new_root);
  must(SYS2(SYS_pivot_root, ".", "."), "pivot", new_root);
  must(SYS2(SYS_umount2, ".", MNT_DETACH), "pivot", "old root");
  must(SYS1(SYS_chdir, "/"), "pivot", "/");
  new_root = 0;
}
static void read_only_root(void) {
  struct mount_attr attr = {MS_RDONLY, 0, 0, 0};
  must(sys(SYS_mount_setattr, AT_CWD, (word) "/", 0, (word)&attr, sizeof attr), "read-only-root", "");
}
static void make_link(const char *content, const char *path) {
  uword last = length(path);
  char parent[4096];
  while (last > 0 && path[last] != '/') last--;
  memcpy(parent, path, last), parent[last] = 0;
  word fd = open_target(last ? parent : "/", 1);
  word made = SYS3(SYS_symlinkat, content, fd, path + last + 1);
  must(made == -EEXIST ? 0 : made, "link", path);
  SYS1(SYS_close, fd);
}
static void pin_netns(const char *path) {
  SYS1(SYS_close, must(SYS4(SYS_openat, AT_CWD, path, O_RDWR | O_CREAT | O_CLOEXEC | 0200 /* O_EXCL */, 0600), "pin-netns", path));
  must(sys(SYS_mount, (word) "/proc/thread-self/ns/net", (word)path, 0, MS_BIND, 0), "pin-netns", path);
}
static void set_propagation(const char *mode) {
  uword flag = same(mode, "shared") ? MS_SHARED : same(mode, "slave") ? MS_SLAVE : MS_PRIVATE;
  must(sys(SYS_mount, 0, (word) "/", 0, (word)(MS_REC | flag), 0), "propagation", mode);
}
static void add_groups(const char *list) {
  char one[24];
  uword n = 0;
  for (const char *s = list;; s++) {
    if (*s && *s != ',' && n < 20) one[n++] = *s;
    if (*s && *s != ',') continue;
    one[n] = 0;
    if (n && final.group_count < 32) final.groups[final.group_count++] = (unsigned int)number(one, 10);
    n = 0;
    if (!*s) return;
  }
}

static void step(const char *name, char **a) {
  char path[4096];
  if (same(name, "cgroup")) join(path, a[0], "/cgroup.procs", ""), write_file(path, "0", "cgroup");
  else if (same(name, "netns")) must(SYS2(SYS_setns, must(SYS4(SYS_openat, AT_CWD, a[0], O_CLOEXEC, 0), "netns", a[0]), NEW_NET), "netns", a[0]);
  else if (same(name, "enter")) enter(a[0], a[1]);
  else if (same(name, "unshare")) unshare(a[0]);
  else if (same(name, "fork")) fork_here();
  else if (same(name, "pid-file")) pid_file = a[0];
  else if (same(name, "propagation")) set_propagation(a[0]);
  else if (same(name, "root")) make_root(a[0]);
  else if (same(name, "pivot")) pivot();
  else if (same(name, "read-only-root")) read_only_root();
  else if (same(name, "dir")) SYS1(SYS_close, open_target(a[0], 1));
  else if (same(name, "link")) make_link(a[0], a[1]);
  else if (same(name, "bind")) bind(a[0], a[1], a[2]);
  else if (same(name, "tmpfs")) mount_new("tmpfs", a[0], a[1], MS_NOSUID | MS_NODEV);
  else if (same(name, "proc")) mount_new("proc", a[0], 0, MS_NOSUID | MS_NODEV | MS_NOEXEC);
  else if (same(name, "sysfs")) mount_new("sysfs", a[0], 0, MS_NOSUID | MS_NODEV | MS_NOEXEC | (same(a[1], "ro") ? MS_RDONLY : 0));
  else if (same(name, "bpffs")) mount_new("bpf", a[0], 0, MS_NOSUID | MS_NODEV | MS_NOEXEC);
  else if (same(name, "devpts")) mount_new("devpts", a[0], "newinstance,ptmxmode=0666,mode=0620", MS_NOSUID | MS_NOEXEC);
  else if (same(name, "hostname")) must(SYS2(SYS_sethostname, a[0], length(a[0])), "hostname", a[0]);
  else if (same(name, "pin-netns")) pin_netns(a[0]);
  else if (same(name, "user")) final.uid = number(a[0], 10), final.gid = number(a[1], 10), final.change_user = 1;
  else if (same(name, "groups")) add_groups(a[0]);
  else if (same(name, "keep-caps")) final.keep_caps = number(a[0], 16), final.limit_caps = 1;
  else if (same(name, "no-new-privs")) final.no_new_privs = 1;
  else if (same(name, "cwd")) final.cwd = a[0];
  else if (same(name, "terminal")) open_terminal();
  else fail("unknown step", name, -EINVAL);
}
static int arity(const char *name) {
  static const char *none = "fork,pivot,no-new-privs,terminal,read-only-root", *two = "enter,link,tmpfs,sysfs,user", *three = "bind";
  if (listed(none, name)) return 0;
  return listed(three, name) ? 3 : listed(two, name) ? 2 : 1;
}

void begin(word *stack) {
  char **arguments = (char **)(stack + 1);
  environment = arguments + *stack + 1;
  for (char **a = arguments + 1; *a;) {
    if (same(*a, "--")) become(a + 1);
    if (same(*a, "pause")) apply_final(), pause_here();
    if (same(*a, "connect") && a[1] && a[2]) apply_final(), relay(a[1], a[2]);
    int wanted = arity(*a);
    for (int i = 1; i <= wanted; i++)
      if (!a[i]) fail(*a, "needs more words", -EINVAL);
    step(*a, a + 1);
    a += 1 + wanted;
  }
  fail("plan", "ends without --, pause or connect", -EINVAL);
}
