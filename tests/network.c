/* Loaded before the C library: writes a line for every name that a process looks up and every address outside this
   machine that it sends to, into the file that EMOTORCH_NETWORK_LOG names, and refuses it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

static void note(const char *call, const char *what) {
    char line[512], program[128] = "?";
    const char *log = getenv("EMOTORCH_NETWORK_LOG");
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t length = read(file, program, sizeof program - 1);
        program[length > 0 ? length : 0] = 0;
        for (ssize_t i = 0; i + 1 < length; i++)
            if (!program[i])
                program[i] = ' ';
        close(file);
    }
    const char *test = getenv("PYTEST_CURRENT_TEST");
    int length = snprintf(line, sizeof line, "%s %s by %s, %s\n", call, what, program, test ? test : "in no test");
    file = log ? open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file >= 0) {
        if (write(file, line, length < (int)sizeof line ? length : (int)sizeof line - 1) < 0)
            abort();
        close(file);
    }
}

/* Whether an address is of this machine: loopback, or no internet address at all. */
static int is_here(const struct sockaddr *address, char *text) {
    if (address && address->sa_family == AF_INET) {
        const struct in_addr *ip = &((const struct sockaddr_in *)address)->sin_addr;
        inet_ntop(AF_INET, ip, text, INET6_ADDRSTRLEN);
        return ntohl(ip->s_addr) >> 24 == 127 || !ip->s_addr;
    }
    if (address && address->sa_family == AF_INET6) {
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)address)->sin6_addr;
        inet_ntop(AF_INET6, ip, text, INET6_ADDRSTRLEN);
        return IN6_IS_ADDR_LOOPBACK(ip) || IN6_IS_ADDR_UNSPECIFIED(ip) || !strncmp(text, "::ffff:127.", 11);
    }
    return 1;
}

static int refused(const char *call, const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN];
    if (is_here(address, text))
        return 0;
    note(call, text);
    errno = ENETUNREACH;
    return 1;
}

/* A name is looked up where it is neither this machine's nor a numeric address. */
static int looks_up(const char *name) {
    unsigned char address[sizeof(struct in6_addr)];
    char own[256] = "";
    gethostname(own, sizeof own - 1);
    return name && *name && strcmp(name, "localhost") && strcmp(name, own) && inet_pton(AF_INET, name, address) != 1 &&
           inet_pton(AF_INET6, name, address) != 1;
}

/* Of datagrams nothing is sent by it, so that it is only refused: libraries ask so for this machine's own address. */
int connect(int socket, const struct sockaddr *address, socklen_t length) {
    char text[INET6_ADDRSTRLEN];
    int type = SOCK_STREAM;
    socklen_t size = sizeof type;
    if (!getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_DGRAM && !is_here(address, text)) {
        errno = ENETUNREACH;
        return -1;
    }
    return refused("connect", address) ? -1 : REAL(connect, socket, address, length);
}

ssize_t sendto(int socket, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    return refused("sendto", to) ? -1 : REAL(sendto, socket, data, size, flags, to, length);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    return refused("sendmsg", message->msg_name) ? -1 : REAL(sendmsg, socket, message, flags);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (!looks_up(name))
        return REAL(getaddrinfo, name, service, hints, found);
    note("getaddrinfo", name);
    return EAI_AGAIN;
}

struct hostent *gethostbyname(const char *name) {
    if (!looks_up(name))
        return REAL(gethostbyname, name);
    note("gethostbyname", name);
    return NULL;
}

int gethostbyname_r(const char *name, struct hostent *host, char *buffer, size_t size, struct hostent **found, int *error) {
    if (!looks_up(name))
        return REAL(gethostbyname_r, name, host, buffer, size, found, error);
    note("gethostbyname_r", name);
    *found = NULL;
    *error = TRY_AGAIN;
    return TRY_AGAIN;
}
