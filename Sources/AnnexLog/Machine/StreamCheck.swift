package import AnnexCore

/// Compares the log's facts about one stream with the position up to which this replica has read it.
package struct StreamFacts: Sendable, Equatable {
    package let block: Int
    /// Holds the position that was asked about.
    package let mark: LogMark
    /// It is false where there is no such stream, and the rest means nothing then.
    package var exists = false
    package var last = LogPosition.start
    /// Holds the first entry that is left. It is nil where none is.
    package var first: LogPosition?
    /// Holds the highest position of an entry that was deleted from within; trimming does not count.
    package var maxDeleted = LogPosition.start
    /// Counts entries ever added, and those that are left.
    package var added: UInt64 = 0
    package var length: UInt64 = 0
    /// Tells whether there is an entry right at the position.
    package var hasEntry = false

    package init(block: Int, mark: LogMark) {
        self.block = block
        self.mark = mark
    }

    /// Tells whether this replica has read all that the stream has.
    package var isCaughtUp: Bool { !self.exists || self.last <= self.mark.position }

    /// Counts entries that it has not read.
    package var missing: UInt64 {
        self.isCaughtUp || self.added <= self.mark.count ? 0 : self.added - self.mark.count
    }

    /// Counts entries that were removed, from the front as a rule.
    fileprivate var removed: UInt64 { self.added > self.length ? self.added - self.length : 0 }
}

/// Says why a replica must not go on with the log that it found.
package struct LogProblem: Sendable, Equatable, CustomStringConvertible {
    package enum Kind: String, Sendable {
        /// The log lacks entries that this replica has applied: it lost its disk, or is another log.
        case lost
        /// The log lacks entries that this replica has not applied: it was trimmed too far.
        case trimmed
        /// It has another id than the one that this replica has followed.
        case other
    }

    package let kind: Kind
    package let block: Int
    package let text: String

    package var description: String { self.text }

    /// Says why a log of that id is not the one that the state follows. Returns nil where it is, or where either has
    /// none.
    package init?(_ log: LogIdentity?, followed: LogIdentity?) {
        guard let log, let followed, log != followed else { return nil }
        self.kind = .other
        self.block = 0
        self.text =
            "this is another log, with the id \(log), and the state here follows \(followed). Restore this replica from a backup "
            + "of one that follows this log, or give --log the address of its own"
    }

    /// Describes the problem of a log that has no id, where the state follows one that has.
    package init(followed: LogIdentity) {
        self.kind = .lost
        self.block = 0
        self.text =
            "the log lost its id, and the state here follows \(followed): it is another log, or was emptied. Restore the log, or "
            + "all replicas from one snapshot with --new-log"
    }

    /// Returns nil where the replica may follow the stream from its position on.
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
        let position = mark.position
        let found: (Kind, String)?
        if !facts.exists {
            found = position > .start ? lost("\(stream) is not there, \(position) was read of it") : nil
        } else if facts.last < position {
            found = lost("\(stream) ends at \(facts.last), \(position) was read of it")
        } else if facts.added < mark.count {
            found = lost("\(stream) had \(facts.added) entries, \(mark.count) were read of it")
        } else if position > .start, !facts.hasEntry, let first = facts.first, first < position {
            found = lost("\(stream) has no entry \(position)")
        } else if facts.removed > mark.count, !facts.hasEntry {
            found = trimmed("\(facts.removed) entries were trimmed of \(stream), \(mark.count) of them were read")
        } else if facts.maxDeleted > position {
            found = trimmed("\(stream) was deleted from up to \(facts.maxDeleted), read was it up to \(position)")
        } else if facts.last == position, facts.added > mark.count {
            found = trimmed("\(stream) had \(facts.added) entries, \(mark.count) of them could be read")
        } else {
            found = nil
        }
        guard let found else { return nil }
        self.kind = found.0
        self.block = facts.block
        self.text = found.1
    }
}
