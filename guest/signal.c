/* Sets of signals. What else there is to signals is libc's emulation and vt_interrupt (python.c). */
#include <errno.h>
#include <signal.h>

static int is_signal(int number)
{
    if (number > 0 && number < _NSIG)
        return 1;
    errno = EINVAL;
    return 0;
}

static sigset_t bit(int number) { return 1ULL << (number - 1); }

int sigemptyset(sigset_t *set)
{
    *set = 0;
    return 0;
}

int sigfillset(sigset_t *set)
{
    *set = ~0ULL;
    return 0;
}

int sigaddset(sigset_t *set, int number)
{
    if (!is_signal(number))
        return -1;
    *set |= bit(number);
    return 0;
}

int sigdelset(sigset_t *set, int number)
{
    if (!is_signal(number))
        return -1;
    *set &= ~bit(number);
    return 0;
}

int sigismember(const sigset_t *set, int number)
{
    return is_signal(number) ? (*set & bit(number)) != 0 : -1;
}

/* Nothing is ever held back. */
int sigpending(sigset_t *set) { return sigemptyset(set); }

/* A call that an interrupt finds waiting ends with EINTR, whatever is asked for: Python asks again
 * by itself, after its handlers (PEP 475). */
int siginterrupt(int number, int flag)
{
    (void)flag;
    return is_signal(number) ? 0 : -1;
}
