/* Signals come from the program's own threads and from the host, which interrupts (SIGINT). A signal's
 * handler runs on the main thread: at once if that sends it, else when it runs next, and whatever it
 * waits for is then interrupted. What a handler is, libc's emulation knows. */
#include "fd.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* As a shell reports the end by a signal. */
#define EXIT_SIGNALLED 128

static int is_signal(int number)
{
    if (number > 0 && number < _NSIG)
        return 1;
    errno = EINVAL;
    return 0;
}

static sigset_t bit(int number) { return 1ULL << (number - 1); }

/* --- sets --- */

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

int sigpending(sigset_t *set)
{
    *set = vt_signals;
    return 0;
}

/* A call that an interrupt finds waiting ends with EINTR, whatever is asked for: Python asks again
 * by itself, after its handlers (PEP 475). */
int siginterrupt(int number, int flag)
{
    (void)flag;
    return is_signal(number) ? 0 : -1;
}

/* --- delivery --- */

/* Nobody stops a process here that something could continue. */
static bool is_ignored_by_default(int number)
{
    static const int ignored[] = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        if (ignored[i] == number)
            return true;
    return false;
}

static void deliver(int number)
{
    void (*handler)(int) = signal(number, SIG_IGN);
    if (handler != SIG_ERR) /* SIGKILL and SIGSTOP have none */
        signal(number, handler);
    if (handler == SIG_DFL || handler == SIG_ERR) {
        if (!is_ignored_by_default(number))
            vt_exit_process(EXIT_SIGNALLED + number);
    } else if (handler != SIG_IGN) {
        raise(number);
    }
}

void vt_interrupt(void)
{
    while (vt_signals) {
        int number = __builtin_ctzll(vt_signals) + 1;
        vt_signals &= ~bit(number);
        deliver(number);
    }
}

int kill(pid_t process, int number)
{
    if (process != 0 && process != getpid())
        return vt_result(process == -1 ? EPERM : ESRCH);
    if (number == 0)
        return 0;
    if (!is_signal(number))
        return -1;
    vt_signals |= bit(number);
    if (vt_self->fiber == VT_MAIN_FIBER)
        vt_interrupt();
    else
        vt_unpark(&(vt_thread){.fiber = VT_MAIN_FIBER});
    return 0;
}
