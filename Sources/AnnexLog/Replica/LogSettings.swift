package import AnnexCore
package import NIOCore

/// Sets how a replica follows the log.
package struct LogSettings: Sendable {
    package var replication = ReplicationSettings()
    /// An answer of the log that takes longer means that it is gone. The limit holds for connecting as well.
    package var answerTimeout = TimeAmount.seconds(1)
    /// A read waits so long in the log for entries to come.
    package var readMilliseconds: Int64 = 100
    /// The pause between attempts to connect doubles with each, from the shortest to the longest.
    package var shortestPause = TimeAmount.milliseconds(50)
    package var longestPause = TimeAmount.seconds(1)
    /// Deadlines and lag are looked at once in this time.
    package var tick = TimeAmount.milliseconds(50)
    /// A replica that has not known for so many milliseconds that it had applied all that the log has answers no reads
    /// of users. With nil it always answers.
    package var maximumLag: Int64? = 10_000
    /// A log of so many entries, or with an oldest entry of so many seconds, is said to want trimming.
    package var lengthWarning = 10_000_000
    package var ageWarning = 30 * 86_400
    /// At most so many WAITPOS may wait at a time.
    package var waiterLimit = 10_000
    /// Holds the slots whose changes this replica applies.
    package var slots = SlotSet.all

    package init() {}

    /// Returns the streams that hold changes of the slots.
    var blocks: [Int] {
        (0..<Slot.blockCount).filter { block in
            let size = Slot.count / Slot.blockCount
            return self.slots.ranges.contains { $0.overlaps((block * size)...((block + 1) * size - 1)) }
        }
    }
}
