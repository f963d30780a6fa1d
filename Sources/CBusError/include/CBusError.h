// Names the file behind a SIGBUS before the process ends by it.
#ifndef CBUSERROR_H
#define CBUSERROR_H

// From now on a SIGBUS writes one line to standard error, and then does what it did before. A mapped file that somebody
// cuts, or that its disk cannot give, ends a process that reads it; nothing can make that read succeed. It is called once,
// before other threads.
void annex_report_bus_errors(void);

#endif
