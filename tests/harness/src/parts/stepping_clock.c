/* Preloaded into a process, it moves that process's wall clock by the seconds in a file of eight bytes
 * (TOKENWARD_TEST_CLOCK, mapped). The monotonic clocks stay as they are, as when somebody sets a machine's clock. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t *offset_seconds;

__attribute__((constructor)) static void map_offset(void) {
  const char *path = getenv("TOKENWARD_TEST_CLOCK");
  int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return;
  }
  void *mapped = mmap(NULL, sizeof *offset_seconds, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped != MAP_FAILED) {
    offset_seconds = mapped;
  }
}

static int64_t offset(void) {
  return offset_seconds == NULL ? 0 : __atomic_load_n(offset_seconds, __ATOMIC_RELAXED);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int status = (int)syscall(SYS_clock_gettime, clock, now);
  if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    now->tv_sec += offset();
  }
  return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int status = (int)syscall(SYS_gettimeofday, now, zone);
  if (status == 0 && now != NULL) {
    now->tv_sec += offset();
  }
  return status;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != NULL) {
    *out = now.tv_sec;
  }
  return now.tv_sec;
}
