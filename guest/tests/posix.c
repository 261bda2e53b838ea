/* The POSIX layer by itself: the sources in guest/ without what knows CPython (python.c, main.c,
 * sqlite.c, openssl.c, recursion.s), linked with this as a reactor and wrapped as Python is. Prints
 * one line per test and how many passed; exits with 1 if any failed. `cargo xtask test posix` runs
 * it. */
#include "../vt.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vtwasm_force.h"

/* Instead of python.c, and two words for park to keep per fiber. */
void vt_interrupt(void) {}
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
