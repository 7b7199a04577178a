#pragma once
/* Time. Deadlines use CLOCK_BOOTTIME, which goes on while the machine is suspended. */
#include <stdint.h>

int64_t clock_now_ns(void);  /* CLOCK_REALTIME, nanoseconds since 1970 */
int64_t clock_boot_ms(void); /* CLOCK_BOOTTIME, milliseconds */
/* CLOCK_MONOTONIC, nanoseconds: how long something took. No system call, where the kernel has a way. */
int64_t clock_monotonic_ns(void);
