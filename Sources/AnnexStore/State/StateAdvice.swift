/// The advice of errors once the writer has stopped.
enum StateAdvice {
    static let damaged =
        "Nothing is written from now on, reading goes on. Stop the server, run `annctl check-state STATE/NAME`, and restore "
        + "the state from a backup"
    static let restart =
        "Nothing is written from now on, reading goes on. Look into the kernel's log, then start the server again"
}
