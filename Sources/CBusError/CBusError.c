#define _GNU_SOURCE
#include "CBusError.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

// Only calls that are safe in a signal handler are made here: open, read, close, write, sigaction.

static struct sigaction before;

static void say(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, text, length);
        if (written <= 0) return;
        text += written;
        length -= (size_t)written;
    }
}

// Reads a hexadecimal number and moves behind it.
static uintptr_t number(const char **text) {
    uintptr_t value = 0;
    for (;; (*text)++) {
        char c = **text;
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
        if (digit == 16) return value;
        value = value << 4 | digit;
    }
}

// Returns the path of a line of /proc/self/maps, `from-to rights offset device inode   path`, that has the address;
// else NULL.
static const char *path_of(const char *line, uintptr_t address) {
    const char *at = line;
    uintptr_t from = number(&at);
    if (*at != '-') return NULL;
    at++;
    uintptr_t to = number(&at);
    if (address < from || address >= to) return NULL;
    const char *path = strchr(at, '/');
    return path ? path : "";
}

// Writes the path of the mapped file that has the address; returns 0 where none is found.
static int name_file(uintptr_t address) {
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0) return 0;
    char line[4352];
    size_t length = 0;
    char buffer[1024];
    ssize_t count;
    int found = 0;
    while (!found && (count = read(maps, buffer, sizeof buffer)) > 0) {
        for (ssize_t index = 0; index < count && !found; index++) {
            if (buffer[index] != '\n') {
                if (length < sizeof line - 1) line[length++] = buffer[index];
                continue;
            }
            line[length] = 0;
            length = 0;
            const char *path = path_of(line, address);
            if (!path || !*path) continue;
            say(path, strlen(path));
            found = 1;
        }
    }
    close(maps);
    return found;
}

static void handle(int number, siginfo_t *info, void *context) {
    (void)context;
    static const char begin[] = "annctl: SIGBUS, the process ends. A mapped file was cut or its disk failed while it was read: ";
    static const char unknown[] = "(no file of this process)";
    static const char end[] =
        "\n  Never write into a version's folder: copy to a new name beside it, then rename. Then start the server again; "
        "`annctl verify` says whether the file is whole.\n";
    say(begin, sizeof begin - 1);
    if (!name_file((uintptr_t)info->si_addr)) say(unknown, sizeof unknown - 1);
    say(end, sizeof end - 1);
    // The instruction runs again, and the signal does what it did before.
    sigaction(number, &before, NULL);
}

void annex_report_bus_errors(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before);
}
