/* The POSIX layer by itself: the sources in guest/ without what knows CPython (python.c, main.c,
 * sqlite.c, openssl.c, recursion.s), linked with these as a reactor and wrapped as Python is. Prints
 * one line per test and how many passed; exits with 1 if any failed. `cargo xtask test posix` runs
 * it. */
#include "posix.h"

/* Instead of python.c, and two words for park to keep per fiber. */
_Noreturn void vt_report_deadlock(void)
{
    puts("deadlock");
    exit(1);
}
__attribute__((section("pytls"))) volatile uint32_t local[2];

int failures;

int main(void)
{
    static const struct test *const parts[] = {thread_tests, lock_tests, descriptor_tests, name_tests};
    int count = 0, failed = 0;
    for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++)
        for (const struct test *test = parts[part]; test->name; test++) {
            int before = failures;
            test->run();
            count++;
            failed += failures != before;
            printf("%s %s\n", failures == before ? "ok  " : "FAIL", test->name);
            fflush(stdout);
        }
    printf("%d passed, %d failed\n", count - failed, failed);
    return failed != 0;
}
