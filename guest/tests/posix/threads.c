/* Threads, their keys, and what is done once. */
#include "posix.h"

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

const struct test thread_tests[] = {
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
    {0},
};
