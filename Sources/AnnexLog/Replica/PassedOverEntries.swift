import AnnexCore

/// Counts entries that count nowhere, as no client could have stored them, and knows what is still to be said of them.
struct PassedOverEntries {
    private static let pause: Int64 = 60_000

    private(set) var unknown = 0
    private(set) var outsideLimits = 0
    private var fresh = 0
    private var last = ""
    private var saidAt: Int64?

    mutating func count(unknownAt position: LogPosition, block: Int) {
        self.unknown += 1
        self.note(position, block)
    }

    mutating func count(outsideLimitsAt position: LogPosition, block: Int) {
        self.outsideLimits += 1
        self.note(position, block)
    }

    private mutating func note(_ position: LogPosition, _ block: Int) {
        self.fresh += 1
        self.last = "\(position) of stream \(block < 10 ? "0" : "")\(block)"
    }

    /// Returns a sentence for the server's log; nil where there is nothing new, or something was said less than a
    /// minute ago.
    mutating func toSay(at now: Int64) -> String? {
        guard self.fresh > 0, saidAt.map({ now - $0 >= Self.pause }) ?? true else { return nil }
        defer { (self.fresh, self.saidAt) = (0, now) }
        let count = self.fresh == 1 ? "An entry of the log is" : "\(self.fresh) entries of the log are"
        return "\(count) none that a server wrote for a client, and passed over; the last is \(self.last)"
    }
}
