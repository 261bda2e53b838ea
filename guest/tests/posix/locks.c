/* What threads wait for, and how long. */
#include "posix.h"

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

const struct test lock_tests[] = {
    TEST(a_normal_mutex_excludes),
    TEST(nobody_starves_at_a_mutex),
    TEST(types_of_mutexes),
    TEST(signal_wakes_one_and_broadcast_all),
    TEST(conditions_time_out_on_either_clock),
    TEST(semaphores_count_wait_and_time_out),
    TEST(readers_share_and_writers_do_not),
    TEST(sleeping_lasts),
    {0},
};
