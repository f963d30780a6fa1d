package import AnnexCore

/// One change of a user's state. Times are milliseconds since 1970, any `Int64`.
package enum StateChange: Sendable {
    /// The same user, item and time again replaces the weight; another time is another event. The weight is finite.
    case event(user: Identifier, item: Identifier, weight: Double, time: Int64)
    /// An event that its receiver stamped with its own clock: it never replaces. Where the user has an event with the item
    /// at this time already, it gets the next millisecond that is free, so that events that come at one time add up.
    case stampedEvent(user: Identifier, item: Identifier, weight: Double, time: Int64)
    /// Deletes all events of the user with the item, whatever their times, and leaves a tombstone; of several times the
    /// latest stays.
    case remove(user: Identifier, item: Identifier, time: Int64)
    /// Deletes all that is stored of the user and leaves a tombstone under `hash`: 16 bytes, the first of the SHA-256
    /// of the user's id. Of several times the latest stays.
    case forget(user: Identifier, hash: [UInt8], time: Int64)

    /// Nil where the change can be stored.
    var fault: AnnexError? {
        switch self {
        case .event(_, _, let weight, _) where !weight.isFinite,
            .stampedEvent(_, _, let weight, _) where !weight.isFinite:
            AnnexError(.badInput, "an event's weight of \(weight)", hint: "Give a finite number")
        case .forget(_, let hash, _) where hash.count != StateSchema.hashBytes:
            AnnexError(.usage, "a user's hash of \(hash.count) bytes", hint: "Give \(StateSchema.hashBytes)")
        default: nil
        }
    }

    /// The time that the server that received the change gave it; nil where the client did.
    var stamp: Int64? {
        switch self {
        case .event: nil
        case .stampedEvent(_, _, _, let time), .remove(_, _, let time), .forget(_, _, let time): time
        }
    }

    var isEvent: Bool {
        switch self {
        case .event, .stampedEvent: true
        case .remove, .forget: false
        }
    }
}

/// What a change did, once it is durable.
package enum StateOutcome: Sendable, Equatable {
    case added
    /// The event was there with another weight.
    case replaced
    /// The event was there with this weight: nothing was written.
    case unchanged
    /// `wasThere`: there was any event of the user with the item.
    case removed(wasThere: Bool)
    /// `wasThere`: there was any event or tombstone of the user.
    case forgotten(wasThere: Bool)
}

/// What tells a reader whether anything about a user has changed, at the price of one look-up.
package struct StateMark: Sendable, Equatable {
    /// Each change of a user gets a value that no change of any user in this store has had before.
    package let counter: UInt64
    /// The counter of the last change that was more than an event later than all others of the user: what was made of the
    /// user at this counter or after lacks only such events.
    package let rewritten: UInt64
    /// Events stored of the user.
    package let eventCount: Int
    /// The time of the user's newest event; nil without events.
    package let newest: Int64?
}

/// Whether the store takes changes. It reads in each of these states.
package enum StateStatus: Sendable, Equatable {
    case running
    /// There is no space: changes are refused with this error until there is.
    case full(AnnexError)
    /// Writing failed: every change is refused with this error until the process starts again.
    case failed(AnnexError)
}

/// Figures of a store, each right at some moment of late.
package struct StateCounts: Sendable, Equatable {
    package var events = 0
    /// Users with at least one event.
    package var users = 0
    package var fileBytes = 0
    package var mapBytes = 0
    /// Changes that wait for the writer.
    package var waiting = 0
    package var commits = 0
    /// Changes that were acknowledged.
    package var changes = 0
    package var lastCommitMicroseconds = 0
    /// Events that were answered before they were durable, and could not be stored then.
    package var lost = 0
    /// Times a record with a wrong checksum was met and skipped.
    package var damagedRecords = 0
    /// Records that were walked for a removal or a stamp, as there was no index to use.
    package var walkedRecords = 0
    /// Records that were read since the opening, to see whether they are whole; how many are not.
    package var checkedRecords = 0
    package var damagedFound = 0
    /// Whether all have been read.
    package var isChecked = false
    /// How far the clock is behind the highest stamp that was given out, in milliseconds.
    package var clockBehindMillis = 0
    /// Times the map was enlarged, and the longest that readers had to wait for it.
    package var growths = 0
    package var longestPauseMicroseconds = 0
}

/// Who walks the pages of a state before it is opened.
package enum PageChecking: Sendable {
    /// The process that opens it.
    case here
    /// What is called with the folder, while its lock is held.
    case elsewhere(@Sendable (_ folder: String) throws -> Void)
    /// Nobody, as they were walked already.
    case done
}

package struct StateSettings: Sendable {
    /// Address space to begin with; twice the file's size where that is more. It grows by itself.
    package var mapBytes = 16 << 20
    /// Changes of one commit, at most.
    package var groupLimit = 4_096
    /// A user with more events than this gets an index of them by item.
    package var walkLimit = 1_000
    /// Changes that wait for the writer, at most.
    package var waitingLimit = 65_536
    /// Readers at a time, at most; 64 bytes each.
    package var readerLimit = 1_024
    /// From this share of the file system on, 0 to 1, events are refused.
    package var fullShare = 0.95
    /// Whether every record is read after the opening, on a thread of its own. Until then removing walks a user's events.
    package var checksRecords = true
    /// How long to wait for another process to let go of the state.
    package var lockPatience = Duration.zero
    /// Who walks all pages of the file before it is opened, O(pages).
    package var pageCheck = PageChecking.here
    /// Takes what a person should know, a sentence each. Any thread; it must not block.
    package var notice: @Sendable (String) -> Void = { _ in }
    /// Nil: a change is answered when it is durable. Otherwise events are answered when they wait for the writer, which
    /// commits at most so often: what is not committed is not read, and lost with the process. Removing and forgetting
    /// are answered when they are durable, in any case.
    package var interval: Duration?

    package init() {}
}
