package import AnnexCore

/// Tells whether the store takes changes. It reads in each of these states.
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
    /// Counts users with at least one event.
    package var users = 0
    package var fileBytes = 0
    package var mapBytes = 0
    /// Changes that wait for the writer.
    package var waiting = 0
    package var commits = 0
    /// Changes that were acknowledged.
    package var changes = 0
    package var lastCommitMicroseconds = 0
    /// Counts events that were answered before they were durable, and could not be stored then.
    package var lost = 0
    /// Counts times a record with a wrong checksum was met and skipped.
    package var damagedRecords = 0
    /// Counts records that were walked for a removal or a stamp, as there was no index to use.
    package var walkedRecords = 0
    /// Counts records that were read since the opening, to see whether they are whole; how many are not.
    package var checkedRecords = 0
    package var damagedFound = 0
    /// Tells whether all have been read.
    package var isChecked = false
    /// Says how far the clock is behind the highest stamp that was given out, in milliseconds.
    package var clockBehindMillis = 0
    /// Counts times the map was enlarged, and the longest that readers had to wait for it.
    package var growths = 0
    package var longestPauseMicroseconds = 0
}
