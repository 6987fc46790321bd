#include "report.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Room for one descriptor beside the message (unix(7), SCM_RIGHTS). */
union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr alignment;
};

int report_pair(int ret_ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_ends) < 0 ? -errno : 0;
}

int report_send(int end, enum report report, const struct error *error, int device)
{
    char kind = (char)report;
    union control control = {0};
    struct iovec parts[2] = {{&kind, 1}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1};

    if (error)
        parts[message.msg_iovlen++] =
            (struct iovec){(void *)(uintptr_t)error->text, strlen(error->text)};
    if (device >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &device, sizeof(int));
    }
    return sendmsg(end, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int report_receive(int end, struct error *error, int *ret_device)
{
    char kind = REPORT_END;
    char text[ERROR_TEXT_SIZE] = "";
    union control control = {0};
    struct iovec parts[2] = {{&kind, 1}, {text, sizeof(text) - 1}};
    struct msghdr message = {.msg_iov = parts,
                             .msg_iovlen = 2,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};

    ssize_t n = recvmsg(end, &message, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == ECONNRESET ? REPORT_END : -errno;
    if (n == 0)
        return REPORT_END;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (kind == REPORT_MOUNTED) {
        if (!header || header->cmsg_type != SCM_RIGHTS)
            return -EBADMSG;
        memcpy(ret_device, CMSG_DATA(header), sizeof(int));
    }
    if (kind == REPORT_FAILED)
        error_set(error, -EIO, "%s", text);
    return kind;
}
