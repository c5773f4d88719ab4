/*
 * true.c - for tests/bench/run: a workload that makes one system call and needs no libc, so it costs nothing itself
 * -DCALL=SYS_ppoll: that one never returns
 */
#include <sys/syscall.h>

#ifndef CALL
#define CALL SYS_exit_group
#endif

void _start(void) {
	for (;;)
#if defined(__x86_64__)
		__asm__ volatile(
		    "xor %%edi, %%edi; xor %%esi, %%esi; xor %%edx, %%edx; xor %%r10d, %%r10d; syscall"
		    :
		    : "a"(CALL)
		    : "rdi", "rsi", "rdx", "r10", "rcx", "r11", "memory");
#elif defined(__aarch64__)
		__asm__ volatile("mov x0, 0; mov x1, 0; mov x2, 0; mov x3, 0; mov x8, %0; svc 0"
				 :
				 : "i"(CALL)
				 : "x0", "x1", "x2", "x3", "x8", "memory");
#else
		__asm__ volatile(
		    "mov r0, #0; mov r1, #0; mov r2, #0; mov r3, #0; ldr r7, =%c0; svc 0"
		    :
		    : "i"(CALL)
		    : "r0", "r1", "r2", "r3", "r7", "memory");
#endif
}
