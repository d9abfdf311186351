// System calls and the few string helpers of a program without libc (x86_64 and arm64).
// Numbers: the kernel's unistd tables; only calls that both architectures have.
typedef long word;
typedef unsigned long uword;

#if defined(__x86_64__)
enum {
  SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_rt_sigprocmask = 14, SYS_ioctl = 16, SYS_socket = 41, SYS_connect = 42,
  SYS_shutdown = 48, SYS_clone = 56, SYS_execve = 59, SYS_wait4 = 61, SYS_kill = 62, SYS_chdir = 80, SYS_setsid = 112,
  SYS_setgroups = 116, SYS_setresuid = 117, SYS_setresgid = 119, SYS_capset = 126, SYS_rt_sigtimedwait = 128,
  SYS_pivot_root = 155, SYS_prctl = 157, SYS_mount = 165, SYS_umount2 = 166, SYS_sethostname = 170, SYS_exit_group = 231,
  SYS_openat = 257, SYS_mkdirat = 258, SYS_symlinkat = 266, SYS_ppoll = 271, SYS_unshare = 272, SYS_dup3 = 292, SYS_setns = 308
};
#elif defined(__aarch64__)
enum {
  SYS_read = 63, SYS_write = 64, SYS_close = 57, SYS_rt_sigprocmask = 135, SYS_ioctl = 29, SYS_socket = 198, SYS_connect = 203,
  SYS_shutdown = 210, SYS_clone = 220, SYS_execve = 221, SYS_wait4 = 260, SYS_kill = 129, SYS_chdir = 49, SYS_setsid = 157,
  SYS_setgroups = 159, SYS_setresuid = 147, SYS_setresgid = 149, SYS_capset = 91, SYS_rt_sigtimedwait = 137,
  SYS_pivot_root = 41, SYS_prctl = 167, SYS_mount = 40, SYS_umount2 = 39, SYS_sethostname = 161, SYS_exit_group = 94,
  SYS_openat = 56, SYS_mkdirat = 34, SYS_symlinkat = 36, SYS_ppoll = 73, SYS_unshare = 97, SYS_dup3 = 24, SYS_setns = 268
};
#else
#error "only x86_64 and arm64"
#endif
enum { SYS_open_tree = 428, SYS_move_mount = 429, SYS_openat2 = 437, SYS_mount_setattr = 442 };

static word sys(word n, word a, word b, word c, word d, word e) {
#if defined(__x86_64__)
  word result;
  register word r10 __asm__("r10") = d;
  register word r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
#else
  register word x8 __asm__("x8") = n;
  register word x0 __asm__("x0") = a;
  register word x1 __asm__("x1") = b;
  register word x2 __asm__("x2") = c;
  register word x3 __asm__("x3") = d;
  register word x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
#endif
}
#define SYS4(n, a, b, c, d) sys(n, (word)(a), (word)(b), (word)(c), (word)(d), 0)
#define SYS3(n, a, b, c) SYS4(n, a, b, c, 0)
#define SYS2(n, a, b) SYS3(n, a, b, 0)
#define SYS1(n, a) SYS2(n, a, 0)

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call begin\n");
#else
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x0,sp\n bl begin\n");
#endif

// The compiler may emit calls to these two.
void *memset(void *to, int value, uword n) {
  for (char *p = to; n > 0; n--) *p++ = (char)value;
  return to;
}
void *memcpy(void *to, const void *from, uword n) {
  char *p = to;
  for (const char *q = from; n > 0; n--) *p++ = *q++;
  return to;
}

static uword length(const char *s) {
  uword n = 0;
  while (s[n]) n++;
  return n;
}
static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}
static uword number(const char *s, uword base) {
  uword n = 0;
  for (; *s; s++) n = n * base + (uword)(*s <= '9' ? *s - '0' : (*s | 32) - 'a' + 10);
  return n;
}
// Decimal text of `value`; returns its length.
static uword decimal(char *to, uword value) {
  char reversed[24];
  uword n = 0, i = 0;
  do reversed[n++] = (char)('0' + value % 10), value /= 10;
  while (value);
  while (n) to[i++] = reversed[--n];
  to[i] = 0;
  return i;
}
static void say(const char *s) { SYS3(SYS_write, 2, s, length(s)); }
