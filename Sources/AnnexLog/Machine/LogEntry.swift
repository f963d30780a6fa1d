package import AnnexCore

/// Says who appended an entry, and which of the appender's it is. No two entries have the same key in any log.
package struct EntryKey: Sendable, Hashable {
    /// 128 random bits of one run of one replica.
    package struct Origin: Sendable, Hashable {
        package let high: UInt64
        package let low: UInt64

        package init(high: UInt64, low: UInt64) {
            self.high = high
            self.low = low
        }

        package static func random() -> Origin {
            Origin(high: .random(in: 0 ... .max), low: .random(in: 0 ... .max))
        }
    }

    package let origin: Origin
    /// Counts 1, 2, … within the origin.
    package let sequence: UInt64

    package init(origin: Origin, sequence: UInt64) {
        self.origin = origin
        self.sequence = sequence
    }
}

/// A change on its way to the log.
package struct LogEntry<Change: Sendable>: Sendable {
    package let key: EntryKey
    /// Holds the stream, 0 to 15: the block of the user's slot.
    package let block: Int
    package let change: Change
    /// An entry that stands in the log later than this counts nowhere, in milliseconds since 1970 by the log's clock.
    /// With nil it always counts.
    package let until: Int64?

    package init(key: EntryKey, block: Int, change: Change, until: Int64? = nil) {
        self.key = key
        self.block = block
        self.change = change
        self.until = until
    }
}

extension LogPosition {
    /// Tells whether what was to be there by then came too late. All who read an entry decide the same, as they go by
    /// its position.
    package func isBehind(_ until: Int64?) -> Bool {
        guard let until else { return false }
        return until < 0 || self.milliseconds > UInt64(until)
    }
}

/// Holds an entry as it was read back.
package struct ReadEntry<Change: Sendable>: Sendable {
    package let position: LogPosition
    /// It is nil where it cannot be made sense of, or concerns users of other shards: then only the position moves.
    package let content: LogEntry<Change>?

    package init(position: LogPosition, content: LogEntry<Change>?) {
        self.position = position
        self.content = content
    }
}

/// Holds entries of one stream for the state. Each must follow right behind the one before, the first behind `after`.
package struct ApplyBatch<Change: Sendable>: Sendable {
    package let block: Int
    package let after: LogPosition
    package let entries: [ReadEntry<Change>]
}
