/* Instead of wasi-libc's: what guest/fcntl.c knows, by Linux's numbers. */
#ifndef VTWASM___HEADER_SYS_IOCTL_H
#define VTWASM___HEADER_SYS_IOCTL_H

#define FIONCLEX 0x5450
#define FIOCLEX 0x5451
#define FIONREAD 0x541B
#define FIONBIO 0x5421

#ifdef __cplusplus
extern "C" {
#endif

int ioctl(int, int, ...);

#ifdef __cplusplus
}
#endif

#endif
