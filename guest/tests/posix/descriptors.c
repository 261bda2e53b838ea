/* Descriptors, and waiting for them. */
#include "posix.h"

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

static void closing_ends_no_wait(void)
{
    int fds[2];
    void *value;
    CHECK(pipe(fds) == 0);
    pthread_t reader = start(read_one, &fds[0]);
    sleep_briefly(NULL);
    close(fds[0]);
    CHECK(write(fds[1], "x", 1) == 1);
    pthread_join(reader, &value);
    CHECK(value == (void *)1);
    CHECK(write(fds[1], "x", 1) == -1 && errno == EPIPE);
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

static void closing_an_epoll_ends_no_wait(void)
{
    int epoll = epoll_create1(0), fds[2];
    void *value;
    CHECK(pipe(fds) == 0);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event) == 0);
    pthread_t waiter = start(wait_in_epoll, &epoll);
    sleep_briefly(NULL);
    close(epoll);
    CHECK(write(fds[1], "x", 1) == 1);
    pthread_join(waiter, &value);
    CHECK(value == (void *)1);
    close(fds[0]);
    close(fds[1]);
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

const struct test descriptor_tests[] = {
    TEST(descriptors_are_the_lowest_free),
    TEST(a_copy_shares_the_description),
    TEST(there_is_an_end_of_descriptors),
    TEST(a_pipe_keeps_order_and_ends),
    TEST(a_full_pipe_takes_small_writes_whole_or_not),
    TEST(closing_ends_no_wait),
    TEST(poll_waits_for_any_and_times_out),
    TEST(epoll_tells_by_level_by_edge_and_once),
    TEST(closing_an_epoll_ends_no_wait),
    TEST(a_socket_pair_closes_by_halves),
    TEST(datagrams_keep_their_bounds),
    TEST(devices_are_there),
    {0},
};
