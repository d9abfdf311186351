// ambit-cni: what kubelet's runtime executes. Freestanding (no libc), static, x86_64 and arm64.
// Forwards the CNI_* environment and standard input to the node agent's unix socket and prints the reply's body.
// Contract: protocol.ts; plugin.ts does the same in TypeScript and is the oracle of this program's tests.
typedef long word;
typedef unsigned long uword;

#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, SOCKET = 41, CONNECT = 42, SETSOCKOPT = 54, EXIT_GROUP = 231 };
static word sys(word n, word a, word b, word c, word d, word e) {
  word result;
  register word r10 __asm__("r10") = d;
  register word r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call begin\n");
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, SOCKET = 198, CONNECT = 203, SETSOCKOPT = 208, EXIT_GROUP = 94 };
static word sys(word n, word a, word b, word c, word d, word e) {
  register word x8 __asm__("x8") = n;
  register word x0 __asm__("x0") = a;
  register word x1 __asm__("x1") = b;
  register word x2 __asm__("x2") = c;
  register word x3 __asm__("x3") = d;
  register word x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x0,sp\n bl begin\n");
#else
#error "only x86_64 and arm64"
#endif

enum { EINTR = -4, AF_UNIX = 1, STREAM_CLOEXEC = 1 | 02000000, SOL_SOCKET = 1, RCVTIMEO = 20, SNDTIMEO = 21 };
enum { BODY_LIMIT = 1 << 20, HEAD_LIMIT = 16384, TIMEOUT_SECONDS = 60 };
// Error codes of the CNI specification.
enum { BAD_ENVIRONMENT = 4, BAD_INPUT = 6, TRY_LATER = 11, NOT_AVAILABLE = 50 };

static char input[BODY_LIMIT + 1], reply[BODY_LIMIT], head[HEAD_LIMIT];
static uword head_length;

// The compiler may emit calls to these two.
void *memset(void *to, int value, uword n) {
  for (char *p = to; n > 0; n--) {
    *p++ = (char)value;
    __asm__ volatile("" ::: "memory");
  }
  return to;
}
void *memcpy(void *to, const void *from, uword n) {
  char *p = to;
  for (const char *q = from; n > 0; n--) {
    *p++ = *q++;
    __asm__ volatile("" ::: "memory");
  }
  return to;
}

static uword length(const char *s) {
  uword n = 0;
  while (s[n]) n++;
  return n;
}
static int starts(const char *s, const char *prefix, uword n) {
  for (uword i = 0; i < n; i++)
    if (s[i] != prefix[i]) return 0;
  return 1;
}
static int is(const char *a, const char *b) { return length(a) == length(b) && starts(a, b, length(b)); }

static __attribute__((noreturn)) void quit(int status) {
  for (;;) sys(EXIT_GROUP, status, 0, 0, 0, 0);
}

static void append(const char *s, uword n) {
  for (uword i = 0; i < n && head_length < HEAD_LIMIT; i++) head[head_length++] = s[i];
}
static void say(const char *s) { append(s, length(s)); }
static void say_number(uword value) {
  char digits[20];
  int i = 20;
  do digits[--i] = (char)('0' + value % 10);
  while (value /= 10);
  append(digits + i, (uword)(20 - i));
}

static int write_all(int fd, const char *p, uword n) {
  while (n > 0) {
    word r = sys(WRITE, fd, (word)p, (word)n, 0, 0);
    if (r == EINTR) continue;
    if (r <= 0) return 0;
    p += r;
    n -= (uword)r;
  }
  return 1;
}

// Reads to the end; -1 on an error or when there is more than `limit`.
static word read_all(int fd, char *to, uword limit) {
  uword n = 0;
  for (;;) {
    if (n > limit) return -1;
    word r = sys(READ, fd, (word)(to + n), (word)(limit - n + 1), 0, 0);
    if (r == EINTR) continue;
    if (r < 0) return -1;
    if (r == 0) return (word)n;
    n += (uword)r;
  }
}

// The text of a string member of the configuration, which runtimes pass as compact JSON; escapes are not followed.
// `key` is written with quotes and colon. Returns the length copied (0 if absent or too long).
static uword member(const char *key, uword n, char *to, uword limit) {
  uword k = length(key);
  for (uword i = 0; i + k < n; i++) {
    if (input[i] != '"' || !starts(input + i, key, k)) continue;
    i += k;
    while (i < n && input[i] == ' ') i++;
    if (i >= n || input[i++] != '"') return 0;
    uword length_copied = 0;
    while (i < n && input[i] != '"' && input[i] != '\\' && length_copied < limit) to[length_copied++] = input[i++];
    return i < n && input[i] == '"' ? length_copied : 0;
  }
  return 0;
}

static __attribute__((noreturn)) void fail(int code, const char *message, uword input_length) {
  char version[16];
  uword n = member("\"cniVersion\":", input_length, version, sizeof version);
  for (uword i = 0; i < n; i++)
    if (version[i] < '.' || version[i] > '9' || version[i] == '/') n = 0;
  head_length = 0;
  say("{\"cniVersion\":\"");
  if (n > 0) append(version, n);
  else say("1.0.0");
  say("\",\"code\":");
  say_number((uword)code);
  say(",\"msg\":\"ambit-cni: ");
  say(message);
  say("\"}\n");
  write_all(1, head, head_length);
  quit(1);
}

static const char *environment(char **env, const char *name) {
  uword n = length(name);
  for (; *env; env++)
    if (starts(*env, name, n) && (*env)[n] == '=') return *env + n + 1;
  return "";
}

static void say_environment(char **env) {
  for (; *env; env++) {
    if (!starts(*env, "CNI_", 4)) continue;
    const char *name = *env + 4, *value = name;
    while (*value && *value != '=') value++;
    if (!*value) continue;
    say("CNI-");
    append(name, (uword)(value - name));
    say(": ");
    for (value++; *value; value++)
      if ((unsigned char)*value >= 32 && *value != 127) append(value, 1);
    say("\r\n");
  }
}

struct unix_address {
  unsigned short family;
  char path[108];
};

// The reply's body and its length, or 0 when it is not a complete HTTP reply.
static const char *body(word received, uword *n) {
  for (word i = 0; i + 4 <= received; i++) {
    if (!starts(reply + i, "\r\n\r\n", 4)) continue;
    *n = (uword)(received - i - 4);
    return reply + i + 4;
  }
  return 0;
}

__attribute__((noreturn, used)) void begin(word *stack) {
  char **env = (char **)(stack + 1 + stack[0] + 1);
  const char *command = environment(env, "CNI_COMMAND");
  if (is(command, "VERSION")) {
    const char *versions = "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n";
    write_all(1, versions, length(versions));
    quit(0);
  }
  int deleting = is(command, "DEL");
  int known = is(command, "ADD") || is(command, "CHECK") || is(command, "GC") || is(command, "STATUS");
  word n = read_all(0, input, BODY_LIMIT - 1);
  uword used = n < 0 ? 0 : (uword)n;
  if (!known && !deleting) fail(BAD_ENVIRONMENT, "CNI_COMMAND must be ADD, DEL, CHECK, GC, STATUS or VERSION", used);
  if (n < 0) fail(BAD_INPUT, "the network configuration on standard input is larger than 1 MiB", 0);

  struct unix_address address = {AF_UNIX, "/var/run/istio-cni/cni.sock"};
  char path[108];
  uword path_length = member("\"agentSocket\":", used, path, sizeof path - 1);
  if (path_length > 0) {
    memset(address.path, 0, sizeof address.path);
    memcpy(address.path, path, path_length);
  }
  int code = is(command, "STATUS") ? NOT_AVAILABLE : TRY_LATER;
  int fd = (int)sys(SOCKET, AF_UNIX, STREAM_CLOEXEC, 0, 0, 0);
  word timeout[2] = {TIMEOUT_SECONDS, 0};
  sys(SETSOCKOPT, fd, SOL_SOCKET, RCVTIMEO, (word)timeout, sizeof timeout);
  sys(SETSOCKOPT, fd, SOL_SOCKET, SNDTIMEO, (word)timeout, sizeof timeout);
  if (sys(CONNECT, fd, (word)&address, sizeof address, 0, 0) < 0) {
    if (deleting) quit(0);
    fail(code, "the node agent does not answer; check that the istio-cni-node pod of this node is running", used);
  }
  say("POST /cni HTTP/1.0\r\nHost: ambit\r\nContent-Type: application/json\r\nContent-Length: ");
  say_number(used);
  say("\r\n");
  say_environment(env);
  say("\r\n");
  if (head_length >= HEAD_LIMIT) fail(BAD_ENVIRONMENT, "the CNI_* environment is larger than 16 KiB", used);
  if (!write_all(fd, head, head_length) || !write_all(fd, input, used)) {
    if (deleting) quit(0);
    fail(code, "the node agent closed the connection; see the log of the istio-cni-node pod of this node", used);
  }
  word received = read_all(fd, reply, BODY_LIMIT - 1);
  uword body_length = 0;
  const char *text = received < 12 ? 0 : body(received, &body_length);
  if (text == 0) {
    if (deleting) quit(0);
    fail(code, "the node agent gave no complete answer; see the log of the istio-cni-node pod of this node", used);
  }
  write_all(1, text, body_length);
  quit(starts(reply + 9, "200", 3) ? 0 : 1);
}
