/* Another processor for one process and its children: what CPUID says is made up.

   cc -O1 -shared -fPIC -o processor.so processor.c
   LD_PRELOAD=./processor.so PROCESSOR=haswell python ...

   Libraries choose their kernels by the CPUID instruction: instruction sets, maker and model,
   cache sizes, cores. Linux can make the instruction fault (arch_prctl, ARCH_SET_CPUID), and the
   handler below answers in its place. Features are only ever taken away, so that everything runs.
   How many processors a process may run on is made up too. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ARCH_SET_CPUID = 0x1012, EAX = 0, EBX, ECX, EDX };

typedef unsigned int word;

static const struct processor {
  const char *name;
  int amd, avx512, cores;
  word model, l1, l2, l3; /* signature; caches in KiB, the third shared by the cores */
} KNOWN[] = {
    {"haswell", 0, 0, 4, 0x306c3, 32, 256, 8192},
    {"zen2", 1, 0, 8, 0x830f10, 32, 512, 16384},
    {"skylake", 0, 1, 2, 0x50654, 32, 1024, 32768},
    {"single", 0, 0, 1, 0x306c3, 32, 256, 1024},
};
static const struct processor *us;

static void real(word leaf, word part, word r[4]) {
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
  __cpuid_count(leaf, part, r[EAX], r[EBX], r[ECX], r[EDX]);
  syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
}

/* Leaf 4 (Intel) and 0x8000001d (AMD): data, instructions, second, third level. */
static void cache(word part, word r[4]) {
  static const word level[] = {1, 1, 2, 3}, type[] = {1, 2, 3, 3};
  word ways = part < 2 ? 8 : 16, sharing = part == 3 ? us->cores - 1 : 0;
  memset(r, 0, 4 * sizeof(word));
  if (part > 3) return;
  r[EAX] = type[part] | level[part] << 5 | 1 << 8 | sharing << 14;
  if (!us->amd) r[EAX] |= 1u << 26;
  r[EBX] = 63 | (ways - 1) << 22; /* lines of 64 bytes */
  r[ECX] = (part < 2 ? us->l1 : part == 2 ? us->l2 : us->l3) * 1024 / 64 / ways - 1;
}

static void instruction_sets(word r[4]) {
  word avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* F DQ CD BW VL */
  r[EAX] = 0; /* no further parts: AVX-VNNI, AVX512-BF16 */
  r[EBX] &= ~(1u << 21 | 1u << 26 | 1u << 27); /* IFMA PF ER */
  if (!us->avx512) r[EBX] &= ~avx512;
  r[ECX] &= 1u << 22; /* RDPID only: no VBMI, GFNI, VAES, VNNI, BITALG, VPOPCNTDQ */
  r[EDX] = 0; /* no AMX, FP16 */
}

static void answer(word leaf, word part, word r[4]) {
  real(leaf, part, r);
  switch (leaf) {
    case 0x80000000u:
    case 0:
      if (us->amd) {
        r[EAX] = leaf ? 0x8000001fu : 0x10;
        memcpy(&r[EBX], "Auth", 4), memcpy(&r[EDX], "enti", 4), memcpy(&r[ECX], "cAMD", 4);
      }
      break;
    case 1:
      r[EAX] = us->model;
      r[EBX] = (r[EBX] & 0xff00ffffu) | (word)us->cores << 16;
      break;
    case 2:
      if (us->amd) memset(r, 0, 4 * sizeof(word));
      break;
    case 4:
      cache(us->amd ? 4 : part, r);
      break;
    case 7:
      instruction_sets(r);
      if (part) memset(r, 0, 4 * sizeof(word));
      break;
    case 0xb:
    case 0x1f: /* threads of a core, cores */
      if (us->amd || leaf == 0x1f || part > 1) memset(r, 0, 4 * sizeof(word));
      else r[EAX] = part ? 6 : 0, r[EBX] = part ? us->cores : 1, r[ECX] = (part + 1) << 8 | part;
      break;
    case 0x80000005u:
      if (us->amd) r[ECX] = r[EDX] = us->l1 << 24 | 8 << 16 | 1 << 8 | 64;
      break;
    case 0x80000006u:
      r[ECX] = us->l2 << 16 | 6 << 12 | 1 << 8 | 64;
      if (us->amd) r[EDX] = us->l3 / 512 << 18 | 9 << 12 | 1 << 8 | 64;
      break;
    case 0x80000008u:
      r[ECX] = (r[ECX] & ~0xffu) | (word)(us->cores - 1);
      break;
    case 0x8000001du:
      cache(us->amd ? part : 4, r);
  }
}

static void fault(int signal_number, siginfo_t *info, void *context) {
  greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
  const unsigned char *code = (const unsigned char *)g[REG_RIP];
  if (info->si_code != SI_KERNEL || code[0] != 0x0f || code[1] != 0xa2) { /* no CPUID: a crash */
    signal(signal_number, SIG_DFL);
    return;
  }
  word r[4];
  answer((word)g[REG_RAX], (word)g[REG_RCX], r);
  g[REG_RAX] = r[EAX], g[REG_RBX] = r[EBX], g[REG_RCX] = r[ECX], g[REG_RDX] = r[EDX];
  g[REG_RIP] += 2;
}

/* What std::thread::hardware_concurrency and TensorFlow ask. */
int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set) {
  long filled = syscall(SYS_sched_getaffinity, process, size, set);
  if (filled < 0) return -1;
  memset((char *)set + filled, 0, size - filled);
  if (us) {
    CPU_ZERO_S(size, set);
    for (int core = 0; core < us->cores; core++) CPU_SET_S(core, size, set);
  }
  return 0;
}

__attribute__((constructor(101))) static void start(void) {
  const char *name = getenv("PROCESSOR");
  for (size_t i = 0; name && i < sizeof KNOWN / sizeof *KNOWN; i++)
    if (!strcmp(name, KNOWN[i].name)) us = &KNOWN[i];
  if (!us) return;
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
  action.sa_sigaction = fault;
  sigaction(SIGSEGV, &action, NULL);
  if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) {
    fputs("this processor or kernel cannot make CPUID fault\n", stderr);
    _exit(78);
  }
}
