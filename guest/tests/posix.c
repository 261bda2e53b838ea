/* The POSIX layer by itself: the sources in guest/ without what knows CPython (python.c, main.c,
 * sqlite.c, openssl.c, recursion.s), linked with this as a reactor and wrapped as Python is. Prints
 * one line per test and how many passed; exits with 1 if any failed. `cargo xtask test posix` runs
 * it. */
#include "../fd.h"

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

/* Instead of python.c, and two words for park to keep per fiber. */
_Noreturn void vt_report_deadlock(void)
{
    puts("deadlock");
    exit(1);
}
__attribute__((section("pytls"))) volatile uint32_t local[2];

static int failures;
#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            printf("%s:%d: failed: %s\n", __func__, __LINE__, #condition);   \
            failures++;                                                      \
        }                                                                    \
    } while (0)

int pthread_mutex_clocklock(pthread_mutex_t *, clockid_t, const struct timespec *);
int pthread_cond_clockwait(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);

static struct timespec in_ms(clockid_t clock, int ms)
{
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_nsec += (long)ms * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

static pthread_t start(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, argument) == 0);
    return thread;
}

/* --- threads --- */

static void *identity(void *argument) { return argument; }

static void *exit_deep(void *argument)
{
    volatile int depth = *(int *)argument;
    if (depth == 0)
        pthread_exit((void *)42);
    depth--;
    exit_deep((void *)&depth);
    return NULL;
}

static void a_thread_returns_its_value_and_joins_once(void)
{
    void *value;
    CHECK(pthread_join(start(identity, (void *)7), &value) == 0 && value == (void *)7);
    int depth = 50;
    CHECK(pthread_join(start(exit_deep, &depth), &value) == 0 && value == (void *)42);
    CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
    CHECK(pthread_equal(pthread_self(), pthread_self()));
}

static void *sleep_briefly(void *argument)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return argument;
}

static void joining_waits_and_may_time_out(void)
{
    pthread_t thread = start(sleep_briefly, (void *)3);
    struct timespec at = in_ms(CLOCK_REALTIME, 1);
    void *value = NULL;
    CHECK(pthread_tryjoin_np(thread, &value) == EBUSY);
    CHECK(pthread_timedjoin_np(thread, &value, &at) == ETIMEDOUT);
    CHECK(pthread_join(thread, &value) == 0 && value == (void *)3);
}

static void detached_threads_cannot_be_joined(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    int state;
    pthread_attr_init(&attr);
    CHECK(pthread_attr_setdetachstate(&attr, 17) == EINVAL);
    CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    CHECK(pthread_attr_getdetachstate(&attr, &state) == 0 && state == PTHREAD_CREATE_DETACHED);
    CHECK(pthread_create(&thread, &attr, sleep_briefly, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == EINVAL);
    thread = start(sleep_briefly, NULL);
    CHECK(pthread_detach(thread) == 0);
    CHECK(pthread_detach(thread) == EINVAL);
    sleep_briefly(NULL);
    sleep_briefly(NULL);
}

static void stacks_are_used_again(void)
{
    pthread_t first = start(identity, NULL);
    pthread_join(first, NULL);
    pthread_t second = start(identity, NULL);
    CHECK(first == second);
    pthread_join(second, NULL);
    for (int i = 0; i < 20000; i++)
        pthread_join(start(identity, NULL), NULL);
}

static void *use_stack(void *argument)
{
    size_t size = (size_t)argument;
    char *bytes = __builtin_alloca(size);
    memset(bytes, 1, size);
    return (void *)(uintptr_t)bytes[size / 2];
}

static void a_stack_is_as_large_as_asked_for(void)
{
    pthread_attr_t attr;
    size_t size;
    pthread_t thread;
    void *value;
    pthread_attr_init(&attr);
    CHECK(pthread_attr_setstacksize(&attr, 100) == EINVAL);
    CHECK(pthread_attr_setstacksize(&attr, 1 << 20) == 0);
    CHECK(pthread_attr_getstacksize(&attr, &size) == 0 && size == 1 << 20);
    CHECK(pthread_create(&thread, &attr, use_stack, (void *)1000000) == 0);
    CHECK(pthread_join(thread, &value) == 0 && value == (void *)1);
    CHECK(pthread_attr_setstacksize(&attr, (size_t)1 << 31) == 0);
    CHECK(pthread_create(&thread, &attr, use_stack, NULL) == EAGAIN
          || pthread_join(thread, NULL) == 0);
}

/* Deeper than the base segment, asking on the way down as CPython does. */
static int descend(int depth)
{
    volatile char frame[256] = {1};
    vtwasm_stack_ensure();
    if (depth == 0) {
        sched_yield();
        return frame[0];
    }
    return descend(depth - 1) + frame[0];
}

static void *descend_on_thread(void *argument)
{
    int depth = (int)(intptr_t)argument;
    for (int i = 0; i < 3; i++)
        CHECK(descend(depth) == depth + 1);
    return (void *)(uintptr_t)VTWASM_WITH_STACK(1500000, descend(5000));
}

static void small_stacks_grow(void)
{
    pthread_t threads[10];
    void *value;
    for (int i = 0; i < 10; i++)
        threads[i] = start(descend_on_thread, (void *)(intptr_t)(100 * i));
    for (int i = 0; i < 10; i++)
        CHECK(pthread_join(threads[i], &value) == 0 && value == (void *)5001);
}

static void *keep_errno_and_locals(void *argument)
{
    int mine = (int)(intptr_t)argument;
    CHECK(errno == 0 && local[0] == 0 && local[1] == 0);
    errno = mine;
    local[0] = (uint32_t)mine;
    for (int i = 0; i < 10; i++) {
        sched_yield();
        CHECK(errno == mine && local[0] == (uint32_t)mine);
    }
    return NULL;
}

static void errno_and_thread_locals_belong_to_their_thread(void)
{
    errno = 99;
    local[0] = 98;
    pthread_t a = start(keep_errno_and_locals, (void *)1);
    pthread_t b = start(keep_errno_and_locals, (void *)2);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    CHECK(errno == 99 && local[0] == 98);
}

static void names_are_kept(void)
{
    char name[16];
    CHECK(pthread_setname_np(pthread_self(), "fifteen letters") == 0);
    CHECK(pthread_setname_np(pthread_self(), "sixteen letters!") == ERANGE);
    CHECK(pthread_getname_np(pthread_self(), name, 4) == ERANGE);
    CHECK(pthread_getname_np(pthread_self(), name, 16) == 0);
    CHECK(strcmp(name, "fifteen letters") == 0);
}

/* --- keys and once --- */

static pthread_key_t keys[3];
static int destroyed, rounds;
static void count_destruction(void *value) { destroyed += (int)(intptr_t)value; }
static void set_again(void *value)
{
    rounds++;
    pthread_setspecific(keys[1], value);
}

static void *set_keys(void *argument)
{
    (void)argument;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_getspecific(keys[i]) == NULL);
    CHECK(pthread_setspecific(keys[0], (void *)5) == 0);
    CHECK(pthread_setspecific(keys[1], (void *)1) == 0);
    CHECK(pthread_setspecific(keys[2], (void *)9) == 0);
    sched_yield();
    CHECK(pthread_getspecific(keys[2]) == (void *)9);
    return NULL;
}

static void keys_are_destroyed_with_their_thread(void)
{
    CHECK(pthread_key_create(&keys[0], count_destruction) == 0);
    CHECK(pthread_key_create(&keys[1], set_again) == 0);
    CHECK(pthread_key_create(&keys[2], NULL) == 0);
    pthread_join(start(set_keys, NULL), NULL);
    CHECK(destroyed == 5);
    CHECK(rounds == PTHREAD_DESTRUCTOR_ITERATIONS);
    CHECK(pthread_setspecific(keys[0], &keys) == 0);
    CHECK(pthread_key_delete(keys[0]) == 0);
    CHECK(pthread_setspecific(keys[0], &keys) == EINVAL);
    pthread_key_t again;
    CHECK(pthread_key_create(&again, NULL) == 0 && again == keys[0]);
    CHECK(pthread_getspecific(again) == NULL);
    int made = 3;
    while (pthread_key_create(&again, NULL) == 0)
        made++;
    CHECK(made == PTHREAD_KEYS_MAX);
    for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX; key++)
        CHECK(pthread_key_delete(key) == 0);
}

static pthread_key_t key_of_leaver;
static void *leave(void *argument)
{
    pthread_setspecific(key_of_leaver, argument);
    pthread_exit(argument);
}

static void a_thread_that_exits_leaves_its_stack_and_no_values(void)
{
    destroyed = 0;
    CHECK(pthread_key_create(&key_of_leaver, count_destruction) == 0);
    pthread_t first = start(leave, (void *)1);
    void *value;
    CHECK(pthread_join(first, &value) == 0 && value == (void *)1);
    pthread_attr_t attr;
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    for (int i = 0; i < 1000; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, &attr, leave, (void *)1) == 0 && thread == first);
        sched_yield();
    }
    CHECK(destroyed == 1001);
    CHECK(pthread_join(start(identity, (void *)7), &value) == 0 && value == (void *)7);
    CHECK(pthread_key_delete(key_of_leaver) == 0);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int initialised;
static void initialise(void)
{
    sleep_briefly(NULL);
    initialised++;
}
static void *call_once(void *argument)
{
    pthread_once(&once, initialise);
    CHECK(initialised == 1);
    return argument;
}

static void once_waits_for_the_first(void)
{
    pthread_t a = start(call_once, NULL), b = start(call_once, NULL);
    call_once(NULL);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
}

/* --- mutexes --- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *try_and_time_out(void *argument)
{
    struct timespec at = in_ms(CLOCK_REALTIME, 3), bad = {.tv_nsec = -1};
    CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
    CHECK(pthread_mutex_timedlock(&mutex, &bad) == EINVAL);
    CHECK(pthread_mutex_timedlock(&mutex, &at) == ETIMEDOUT);
    at = in_ms(CLOCK_MONOTONIC, 3);
    CHECK(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &at) == ETIMEDOUT);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    return argument;
}

static void a_normal_mutex_excludes(void)
{
    CHECK(pthread_mutex_lock(&mutex) == 0);
    pthread_t thread = start(try_and_time_out, NULL);
    for (int i = 0; i < 4; i++)
        sleep_briefly(NULL);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    pthread_join(thread, NULL);
    CHECK(pthread_mutex_destroy(&mutex) == 0);
}

static int total;
static void *add(void *argument)
{
    for (int i = 0; i < 100; i++) {
        pthread_mutex_lock(&mutex);
        int before = total;
        if (i % 7 == 0)
            sched_yield();
        total = before + 1;
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}

static void nobody_starves_at_a_mutex(void)
{
    pthread_t threads[20];
    for (int i = 0; i < 20; i++)
        threads[i] = start(add, NULL);
    for (int i = 0; i < 20; i++)
        pthread_join(threads[i], NULL);
    CHECK(total == 2000);
}

static void *unlock_it(void *argument)
{
    return (void *)(intptr_t)pthread_mutex_unlock(argument);
}

static void types_of_mutexes(void)
{
    pthread_mutexattr_t attr;
    pthread_mutex_t typed;
    void *value;
    int type;
    pthread_mutexattr_init(&attr);
    CHECK(pthread_mutexattr_settype(&attr, 9) == EINVAL);
    CHECK(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE) == 0);
    CHECK(pthread_mutexattr_gettype(&attr, &type) == 0 && type == PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&typed, &attr);
    CHECK(pthread_mutex_lock(&typed) == 0 && pthread_mutex_lock(&typed) == 0);
    CHECK(pthread_mutex_trylock(&typed) == 0);
    pthread_join(start(unlock_it, &typed), &value);
    CHECK(value == (void *)EPERM);
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_mutex_destroy(&typed) == EBUSY);
        CHECK(pthread_mutex_unlock(&typed) == 0);
    }
    CHECK(pthread_mutex_unlock(&typed) == EPERM);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&typed, &attr);
    CHECK(pthread_mutex_lock(&typed) == 0 && pthread_mutex_lock(&typed) == EDEADLK);
    CHECK(pthread_mutex_unlock(&typed) == 0 && pthread_mutex_unlock(&typed) == EPERM);
}

/* --- conditions --- */

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int tokens, waiting;

static void *take_token(void *argument)
{
    pthread_mutex_lock(&mutex);
    waiting++;
    while (tokens == 0)
        pthread_cond_wait(&condition, &mutex);
    tokens--;
    pthread_mutex_unlock(&mutex);
    return argument;
}

static void signal_wakes_one_and_broadcast_all(void)
{
    pthread_t threads[5];
    for (int i = 0; i < 5; i++)
        threads[i] = start(take_token, NULL);
    while (waiting < 5)
        sched_yield();
    pthread_mutex_lock(&mutex);
    tokens = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    pthread_join(threads[0], NULL);
    CHECK(tokens == 0);
    pthread_mutex_lock(&mutex);
    tokens = 4;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    for (int i = 1; i < 5; i++)
        pthread_join(threads[i], NULL);
    CHECK(tokens == 0);
}

static void conditions_time_out_on_either_clock(void)
{
    pthread_condattr_t attr;
    pthread_cond_t timed;
    clockid_t clock;
    pthread_condattr_init(&attr);
    CHECK(pthread_condattr_getclock(&attr, &clock) == 0 && clock == CLOCK_REALTIME);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    pthread_cond_init(&timed, &attr);
    pthread_mutex_lock(&mutex);
    struct timespec at = in_ms(CLOCK_MONOTONIC, 2), now, bad = {.tv_nsec = 1000000000};
    CHECK(pthread_cond_timedwait(&timed, &mutex, &bad) == EINVAL);
    CHECK(pthread_cond_timedwait(&timed, &mutex, &at) == ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(now.tv_sec > at.tv_sec || (now.tv_sec == at.tv_sec && now.tv_nsec >= at.tv_nsec));
    at = in_ms(CLOCK_REALTIME, 2);
    CHECK(pthread_cond_timedwait(&condition, &mutex, &at) == ETIMEDOUT);
    CHECK(pthread_cond_clockwait(&timed, &mutex, CLOCK_REALTIME, &at) == ETIMEDOUT);
    CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
    pthread_mutex_unlock(&mutex);
}

/* --- semaphores --- */

static sem_t semaphore;

static void *take_semaphore(void *argument)
{
    return sem_wait(&semaphore) == 0 ? argument : NULL;
}

static void semaphores_count_wait_and_time_out(void)
{
    int value;
    struct timespec bad = {.tv_nsec = -1};
    CHECK(sem_init(&semaphore, 0, 1) == 0);
    CHECK(sem_timedwait(&semaphore, &bad) == 0);
    CHECK(sem_timedwait(&semaphore, &bad) == -1 && errno == EINVAL);
    CHECK(sem_trywait(&semaphore) == -1 && errno == EAGAIN);
    struct timespec at = in_ms(CLOCK_REALTIME, 2);
    CHECK(sem_timedwait(&semaphore, &at) == -1 && errno == ETIMEDOUT);
    at = in_ms(CLOCK_MONOTONIC, 2);
    CHECK(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &at) == -1 && errno == ETIMEDOUT);
    pthread_t threads[5];
    for (int i = 0; i < 5; i++)
        threads[i] = start(take_semaphore, NULL);
    sched_yield();
    for (int i = 0; i < 6; i++)
        CHECK(sem_post(&semaphore) == 0);
    for (int i = 0; i < 5; i++)
        pthread_join(threads[i], NULL);
    CHECK(sem_getvalue(&semaphore, &value) == 0 && value == 1);
    CHECK(sem_init(&semaphore, 0, INT_MAX) == 0);
    CHECK(sem_post(&semaphore) == -1 && errno == EOVERFLOW);
    CHECK(sem_init(&semaphore, 0, (unsigned)INT_MAX + 1) == -1 && errno == EINVAL);
    CHECK(sem_destroy(&semaphore) == 0);
}

/* --- read-write locks --- */

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int readers_inside, most_readers;

static void *read_it(void *argument)
{
    CHECK(pthread_rwlock_rdlock(&rwlock) == 0);
    if (++readers_inside > most_readers)
        most_readers = readers_inside;
    sched_yield();
    CHECK(pthread_rwlock_trywrlock(&rwlock) == EBUSY);
    readers_inside--;
    CHECK(pthread_rwlock_unlock(&rwlock) == 0);
    return argument;
}

static void *write_it(void *argument)
{
    CHECK(pthread_rwlock_wrlock(&rwlock) == 0);
    CHECK(readers_inside == 0);
    CHECK(pthread_rwlock_wrlock(&rwlock) == EDEADLK);
    sched_yield();
    CHECK(readers_inside == 0);
    CHECK(pthread_rwlock_unlock(&rwlock) == 0);
    return argument;
}

static void readers_share_and_writers_do_not(void)
{
    pthread_t threads[12];
    struct timespec at = in_ms(CLOCK_REALTIME, 2);
    for (int i = 0; i < 12; i++)
        threads[i] = start(i % 3 == 2 ? write_it : read_it, NULL);
    for (int i = 0; i < 12; i++)
        pthread_join(threads[i], NULL);
    CHECK(most_readers > 1);
    CHECK(pthread_rwlock_rdlock(&rwlock) == 0);
    CHECK(pthread_rwlock_timedwrlock(&rwlock, &at) == ETIMEDOUT);
    CHECK(pthread_rwlock_unlock(&rwlock) == 0);
    CHECK(pthread_rwlock_unlock(&rwlock) == EPERM);
    CHECK(pthread_rwlock_destroy(&rwlock) == 0);
}

/* --- time --- */

static void sleeping_lasts(void)
{
    struct timespec before, after, bad = {.tv_nsec = 1000000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    sleep_briefly(NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= 5000000);
    CHECK(nanosleep(&bad, NULL) == -1 && errno == EINVAL);
    struct timespec at = in_ms(CLOCK_REALTIME, 2);
    CHECK(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL) == 0);
    CHECK(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &before, NULL) == 0);
}

/* --- descriptors --- */

static void descriptors_are_the_lowest_free(void)
{
    int fds[2], copy;
    CHECK(pipe(fds) == 0 && fds[1] == fds[0] + 1);
    CHECK((copy = dup(fds[1])) == fds[1] + 1);
    CHECK(close(fds[0]) == 0 && dup(copy) == fds[0]);
    CHECK(fcntl(copy, F_DUPFD, copy + 100) == copy + 100);
    CHECK(dup2(copy, fds[1]) == fds[1] && dup2(copy, copy) == copy);
    CHECK(dup2(copy, 1 << 20) == -1 && errno == EBADF);
    CHECK(dup3(copy, copy, 0) == -1 && errno == EINVAL);
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0 && close(copy) == 0 && close(copy + 100) == 0);
    CHECK(close(copy) == -1 && errno == EBADF);
    CHECK(write(copy, "", 1) == -1 && errno == EBADF);
}

static void a_copy_shares_the_description(void)
{
    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    int copy = dup(fds[0]);
    CHECK(fcntl(fds[0], F_GETFD) == FD_CLOEXEC && fcntl(copy, F_GETFD) == 0);
    CHECK(fcntl(copy, F_SETFL, O_NONBLOCK) == 0);
    CHECK(fcntl(fds[0], F_GETFL) == (O_RDONLY | O_NONBLOCK));
    char byte;
    CHECK(read(fds[0], &byte, 1) == -1 && errno == EAGAIN);
    close(fds[0]);
    CHECK(write(fds[1], "x", 1) == 1 && read(copy, &byte, 1) == 1 && byte == 'x');
    close(copy);
    CHECK(write(fds[1], "x", 1) == -1 && errno == EPIPE);
    close(fds[1]);
}

static void there_is_an_end_of_descriptors(void)
{
    int fd, first = dup(1), last = first;
    while ((fd = dup(1)) >= 0)
        last = fd;
    CHECK(errno == EMFILE && last == VT_DESCRIPTORS - 1);
    for (fd = first; fd <= last; fd++)
        close(fd);
}

static void *write_much(void *argument)
{
    int fd = *(int *)argument;
    static char bytes[300000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    CHECK(write(fd, bytes, sizeof bytes) == sizeof bytes);
    close(fd);
    return NULL;
}

static void a_pipe_keeps_order_and_ends(void)
{
    int fds[2];
    CHECK(pipe(fds) == 0);
    pthread_t writer = start(write_much, &fds[1]);
    size_t total = 0, wrong = 0;
    char bytes[1000];
    ssize_t got;
    while ((got = read(fds[0], bytes, sizeof bytes)) > 0)
        for (ssize_t i = 0; i < got; i++)
            wrong += bytes[i] != (char)(total++ * 7);
    CHECK(got == 0 && total == 300000 && wrong == 0);
    pthread_join(writer, NULL);
    close(fds[0]);
}

static void a_full_pipe_takes_small_writes_whole_or_not(void)
{
    int fds[2], count = 0;
    static char bytes[4096];
    CHECK(pipe2(fds, O_NONBLOCK) == 0);
    while (write(fds[1], bytes, 3000) == 3000)
        count++;
    CHECK(errno == EAGAIN && count == 65536 / 3000);
    int there = 0;
    CHECK(ioctl(fds[0], FIONREAD, &there) == 0 && there == count * 3000);
    struct pollfd full = {.fd = fds[1], .events = POLLOUT};
    CHECK(poll(&full, 1, 0) == 0);
    CHECK(read(fds[0], bytes, sizeof bytes) == sizeof bytes);
    CHECK(poll(&full, 1, 0) == 1 && full.revents == POLLOUT);
    close(fds[0]);
    CHECK(poll(&full, 1, 0) == 1 && full.revents == (POLLOUT | POLLERR));
    close(fds[1]);
}

static void *read_one(void *argument)
{
    char byte;
    ssize_t got = read(*(int *)argument, &byte, 1);
    return (void *)(intptr_t)(got < 0 ? errno : got);
}

static void closing_wakes_those_who_wait(void)
{
    int fds[2];
    void *value;
    CHECK(pipe(fds) == 0);
    pthread_t reader = start(read_one, &fds[0]);
    sleep_briefly(NULL);
    close(fds[0]);
    pthread_join(reader, &value);
    CHECK(value == (void *)EBADF);
    close(fds[1]);
}

static void *write_late(void *argument)
{
    sleep_briefly(NULL);
    CHECK(write(*(int *)argument, "x", 1) == 1);
    return NULL;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void poll_waits_for_any_and_times_out(void)
{
    int fds[2], other[2];
    CHECK(pipe(fds) == 0 && pipe(other) == 0);
    struct pollfd wanted[] = {
        {.fd = other[0], .events = POLLIN}, {.fd = fds[0], .events = POLLIN}, {.fd = -1},
    };
    int64_t before = now_ms();
    CHECK(poll(wanted, 3, 20) == 0 && now_ms() - before >= 20);
    pthread_t writer = start(write_late, &fds[1]);
    CHECK(poll(wanted, 3, -1) == 1 && wanted[0].revents == 0 && wanted[1].revents == POLLIN);
    pthread_join(writer, NULL);
    fd_set reads;
    FD_ZERO(&reads);
    FD_SET(fds[0], &reads);
    FD_SET(other[0], &reads);
    CHECK(select(other[0] + 1, &reads, NULL, NULL, NULL) == 1);
    CHECK(FD_ISSET(fds[0], &reads) && !FD_ISSET(other[0], &reads));
    close(other[0]);
    CHECK(poll(wanted, 3, -1) == 2 && wanted[0].revents == POLLNVAL);
    FD_SET(other[0], &reads);
    CHECK(select(other[0] + 1, &reads, NULL, NULL, NULL) == -1 && errno == EBADF);
    close(other[1]);
    close(fds[1]);
    close(fds[0]);
}

static void epoll_tells_by_level_by_edge_and_once(void)
{
    int fds[2], epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 7}, out[4];
    CHECK(epoll >= 0 && pipe(fds) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event) == -1 && errno == EEXIST);
    CHECK(epoll_wait(epoll, out, 4, 0) == 0);
    pthread_t writer = start(write_late, &fds[1]);
    CHECK(epoll_wait(epoll, out, 4, -1) == 1 && out[0].events == EPOLLIN && out[0].data.u64 == 7);
    pthread_join(writer, NULL);
    CHECK(epoll_wait(epoll, out, 4, 0) == 1); /* by level: still */
    event.events = EPOLLIN | EPOLLET;
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event) == 0);
    CHECK(epoll_wait(epoll, out, 4, 0) == 1 && epoll_wait(epoll, out, 4, 1) == 0);
    CHECK(write(fds[1], "y", 1) == 1 && epoll_wait(epoll, out, 4, 0) == 1);
    event.events = EPOLLIN | EPOLLONESHOT;
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event) == 0);
    CHECK(epoll_wait(epoll, out, 4, 0) == 1 && write(fds[1], "z", 1) == 1);
    CHECK(epoll_wait(epoll, out, 4, 0) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event) == 0);
    CHECK(epoll_wait(epoll, out, 4, 0) == 1);
    struct pollfd nested = {.fd = epoll, .events = POLLIN};
    event.events = EPOLLIN;
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event) == 0);
    CHECK(poll(&nested, 1, 0) == 1);
    close(fds[0]); /* and with it the interest */
    CHECK(epoll_wait(epoll, out, 4, 0) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, fds[1], NULL) == -1 && errno == ENOENT);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event) == -1 && errno == EINVAL);
    close(fds[1]);
    close(epoll);
}

static void *wait_in_epoll(void *argument)
{
    struct epoll_event event;
    int count = epoll_wait(*(int *)argument, &event, 1, -1);
    return (void *)(intptr_t)(count < 0 ? errno : count);
}

static void closing_an_epoll_wakes_those_who_wait(void)
{
    int epoll = epoll_create1(0);
    void *value;
    pthread_t waiter = start(wait_in_epoll, &epoll);
    sleep_briefly(NULL);
    close(epoll);
    pthread_join(waiter, &value);
    CHECK(value == (void *)EBADF);
}

static void a_socket_pair_closes_by_halves(void)
{
    int fds[2];
    char bytes[8];
    CHECK(socketpair(AF_INET, SOCK_STREAM, 0, fds) == -1 && errno == EOPNOTSUPP);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK(send(fds[0], "abc", 3, 0) == 3 && shutdown(fds[0], SHUT_WR) == 0);
    CHECK(send(fds[0], "d", 1, 0) == -1 && errno == EPIPE);
    CHECK(recv(fds[1], bytes, 2, MSG_PEEK) == 2 && recv(fds[1], bytes, 8, MSG_WAITALL) == 3);
    CHECK(recv(fds[1], bytes, 8, 0) == 0);
    CHECK(send(fds[1], "e", 1, 0) == 1 && recv(fds[0], bytes, 8, 0) == 1);
    CHECK(recv(fds[0], bytes, 8, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    struct timeval soon = {.tv_usec = 2000};
    CHECK(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon) == 0);
    CHECK(recv(fds[0], bytes, 8, 0) == -1 && errno == EAGAIN);
    close(fds[1]);
    struct pollfd gone = {.fd = fds[0], .events = POLLIN};
    CHECK(recv(fds[0], bytes, 8, 0) == 0);
    CHECK(poll(&gone, 1, 0) == 1 && gone.revents == (POLLIN | POLLHUP));
    close(fds[0]);
}

static void datagrams_keep_their_bounds(void)
{
    int fds[2];
    char bytes[8], rest[4];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds) == 0);
    struct iovec parts[] = {{"ab", 2}, {"cd", 2}}, into[] = {{bytes, 1}, {rest, 2}};
    struct msghdr out = {.msg_iov = parts, .msg_iovlen = 2}, in = {.msg_iov = into, .msg_iovlen = 2};
    CHECK(sendmsg(fds[0], &out, 0) == 4 && send(fds[0], "", 0, 0) == 0);
    CHECK(recvmsg(fds[1], &in, 0) == 3 && in.msg_flags == MSG_TRUNC);
    CHECK(bytes[0] == 'a' && rest[0] == 'b' && rest[1] == 'c');
    CHECK(recv(fds[1], bytes, 8, 0) == 0);
    CHECK(recv(fds[1], bytes, 8, 0) == -1 && errno == EAGAIN);
    close(fds[0]);
    close(fds[1]);
}

static void devices_are_there(void)
{
    char bytes[4] = "abc";
    struct stat status;
    int fd = open("/dev/null", O_RDWR);
    CHECK(fd >= 0 && write(fd, bytes, 4) == 4 && read(fd, bytes, 4) == 0 && !isatty(fd));
    CHECK(lseek(fd, 0, SEEK_CUR) == 0 && lseek(fd, 0, SEEK_END) == 0);
    CHECK(fstat(fd, &status) == 0 && S_ISCHR(status.st_mode));
    CHECK(stat("/dev/null", &status) == 0 && S_ISCHR(status.st_mode));
    close(fd);
    fd = open("/dev/zero", O_RDONLY);
    CHECK(fd >= 0 && read(fd, bytes, 4) == 4 && bytes[0] == 0);
    close(fd);
    CHECK(open("/dev/mem", O_RDONLY) == -1 && unlink("/dev/null") == -1);
}

/* --- names --- */

static int look(const char *name, const char *service, int flags, int family, struct addrinfo **out)
{
    struct addrinfo hints = {.ai_flags = flags, .ai_family = family, .ai_socktype = SOCK_STREAM};
    return getaddrinfo(name, service, &hints, out);
}

static void numbers_need_no_look_up(void)
{
    struct addrinfo *found;
    char host[64], service[16];
    CHECK(look("127.1", "https", 0, AF_UNSPEC, &found) == 0 && !found->ai_next);
    CHECK(((struct sockaddr_in *)found->ai_addr)->sin_port == htons(443));
    CHECK(getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, service, sizeof service,
                      NI_NUMERICHOST) == 0);
    CHECK(strcmp(host, "127.0.0.1") == 0 && strcmp(service, "https") == 0);
    freeaddrinfo(found);
    CHECK(look("fe80::1%3", "80", 0, AF_UNSPEC, &found) == 0);
    CHECK(getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST)
          == 0);
    CHECK(strcmp(host, "fe80::1%3") == 0);
    freeaddrinfo(found);
    CHECK(look("::1", NULL, 0, AF_INET, &found) == EAI_ADDRFAMILY);
    CHECK(look("name", NULL, AI_NUMERICHOST, AF_UNSPEC, &found) == EAI_NONAME);
    CHECK(look("127.0.0.1", "no-such-service", 0, AF_UNSPEC, &found) == EAI_SERVICE);
    CHECK(look(NULL, "1", 0, AF_UNSPEC, &found) == 0 && found->ai_family == AF_INET6);
    CHECK(found->ai_next && found->ai_next->ai_family == AF_INET && !found->ai_next->ai_next);
    freeaddrinfo(found);
    CHECK(getservbyname("domain", "udp")->s_port == htons(53) && !getservbyname("http", "udp"));
}

static void sets_of_signals_hold_all_of_them(void)
{
    sigset_t set;
    CHECK(sigemptyset(&set) == 0 && sigismember(&set, SIGINT) == 0 && sigismember(&set, 64) == 0);
    CHECK(sigaddset(&set, 64) == 0 && sigaddset(&set, SIGINT) == 0 && sigdelset(&set, SIGINT) == 0);
    CHECK(sigismember(&set, 64) == 1 && sigismember(&set, SIGINT) == 0 && sigismember(&set, 1) == 0);
    CHECK(sigfillset(&set) == 0 && sigismember(&set, 1) == 1 && sigismember(&set, 64) == 1);
    CHECK(sigpending(&set) == 0 && sigismember(&set, 1) == 0);
    CHECK(sigaddset(&set, 0) == -1 && errno == EINVAL && sigdelset(&set, 65) == -1);
    CHECK(sigismember(&set, -1) == -1 && siginterrupt(65, 1) == -1 && siginterrupt(SIGINT, 1) == 0);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
#define TEST(name) {#name, name}
        TEST(a_thread_returns_its_value_and_joins_once),
        TEST(joining_waits_and_may_time_out),
        TEST(detached_threads_cannot_be_joined),
        TEST(stacks_are_used_again),
        TEST(a_stack_is_as_large_as_asked_for),
        TEST(small_stacks_grow),
        TEST(errno_and_thread_locals_belong_to_their_thread),
        TEST(names_are_kept),
        TEST(keys_are_destroyed_with_their_thread),
        TEST(a_thread_that_exits_leaves_its_stack_and_no_values),
        TEST(once_waits_for_the_first),
        TEST(a_normal_mutex_excludes),
        TEST(nobody_starves_at_a_mutex),
        TEST(types_of_mutexes),
        TEST(signal_wakes_one_and_broadcast_all),
        TEST(conditions_time_out_on_either_clock),
        TEST(semaphores_count_wait_and_time_out),
        TEST(readers_share_and_writers_do_not),
        TEST(sleeping_lasts),
        TEST(descriptors_are_the_lowest_free),
        TEST(a_copy_shares_the_description),
        TEST(there_is_an_end_of_descriptors),
        TEST(a_pipe_keeps_order_and_ends),
        TEST(a_full_pipe_takes_small_writes_whole_or_not),
        TEST(closing_wakes_those_who_wait),
        TEST(poll_waits_for_any_and_times_out),
        TEST(epoll_tells_by_level_by_edge_and_once),
        TEST(closing_an_epoll_wakes_those_who_wait),
        TEST(a_socket_pair_closes_by_halves),
        TEST(datagrams_keep_their_bounds),
        TEST(devices_are_there),
        TEST(numbers_need_no_look_up),
        TEST(sets_of_signals_hold_all_of_them),
    };
    size_t count = sizeof tests / sizeof tests[0], failed = 0;
    for (size_t i = 0; i < count; i++) {
        int before = failures;
        tests[i].run();
        failed += failures != before;
        printf("%s %s\n", failures == before ? "ok  " : "FAIL", tests[i].name);
        fflush(stdout);
    }
    printf("%zu passed, %zu failed\n", count - failed, failed);
    return failed != 0;
}
