/* What the tests of the POSIX layer share; main.c runs them. */
#ifndef POSIX_TESTS_H
#define POSIX_TESTS_H

#include "../../fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vtwasm_force.h"

/* Of one part; the last has no name. */
struct test {
    const char *name;
    void (*run)(void);
};
extern const struct test thread_tests[], lock_tests[], descriptor_tests[], name_tests[];
#define TEST(name) {#name, name}

extern int failures;
/* Of each fiber, as CPython's thread-local variables. */
extern volatile uint32_t local[2];

#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            printf("%s:%d: failed: %s\n", __func__, __LINE__, #condition);   \
            failures++;                                                      \
        }                                                                    \
    } while (0)

int pthread_mutex_clocklock(pthread_mutex_t *, clockid_t, const struct timespec *);
int pthread_cond_clockwait(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);

static inline struct timespec in_ms(clockid_t clock, int ms)
{
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_nsec += (long)ms * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

static inline pthread_t start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, argument) == 0);
    return thread;
}

static inline void *sleep_briefly(void *argument)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return argument;
}

#endif
