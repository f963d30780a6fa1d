package import AnnexCore

/// What the log says of one stream, against the place up to which this replica has read it.
package struct StreamFacts: Sendable, Equatable {
    package let block: Int
    /// The place that was asked about.
    package let mark: LogMark
    /// False where there is no such stream; the rest is nothing then.
    package var exists = false
    package var last = LogPosition.start
    /// The highest position of an entry that was trimmed or deleted.
    package var maxDeleted = LogPosition.start
    /// Entries ever added; nil where the log does not say.
    package var added: UInt64?
    /// Whether there is an entry right at the place.
    package var hasEntry = false

    package init(block: Int, mark: LogMark) {
        self.block = block
        self.mark = mark
    }

    /// Whether this replica has read all that the stream has.
    package var isCaughtUp: Bool { !self.exists || self.last <= self.mark.position }

    /// Entries that it has not read; an estimate of 0 where the log does not count.
    package var missing: UInt64 {
        guard let added, added > self.mark.count, !self.isCaughtUp else { return 0 }
        return added - self.mark.count
    }
}

/// Why a replica must not go on with the log that it found.
package struct LogProblem: Sendable, Equatable, CustomStringConvertible {
    package enum Kind: String, Sendable {
        /// The log lacks entries that this replica has applied: it lost its disk, or is another log.
        case lost
        /// The log lacks entries that this replica has not applied: it was trimmed too far.
        case trimmed
    }

    package let kind: Kind
    package let block: Int
    package let text: String

    package var description: String { self.text }

    /// Nil where the replica may follow the stream from its place on.
    package init?(_ facts: StreamFacts) {
        let mark = facts.mark
        let stream = "stream \(facts.block < 10 ? "0" : "")\(facts.block)"
        func lost(_ what: String) -> (Kind, String) {
            (
                .lost,
                "the log lost what this replica has applied: \(what). Restore the log, or all replicas from one snapshot"
            )
        }
        func trimmed(_ what: String) -> (Kind, String) {
            (
                .trimmed,
                "the log lacks what this replica has not applied: \(what). Restore this replica from a newer snapshot"
            )
        }
        let found: (Kind, String)?
        if !facts.exists {
            found = mark.position > .start ? lost("\(stream) is not there, \(mark.position) was read of it") : nil
        } else if facts.last < mark.position {
            found = lost("\(stream) ends at \(facts.last), \(mark.position) was read of it")
        } else if let added = facts.added, added < mark.count {
            found = lost("\(stream) had \(added) entries, \(mark.count) were read of it")
        } else if facts.maxDeleted > mark.position {
            found = trimmed("\(stream) was trimmed up to \(facts.maxDeleted), read was it up to \(mark.position)")
        } else if mark.position > .start, !facts.hasEntry, facts.maxDeleted < mark.position {
            found = lost("\(stream) has no entry \(mark.position)")
        } else if let added = facts.added, facts.last == mark.position, added > mark.count {
            found = trimmed("\(stream) had \(added) entries, \(mark.count) of them could be read")
        } else {
            found = nil
        }
        guard let found else { return nil }
        self.kind = found.0
        self.block = facts.block
        self.text = found.1
    }
}
