package import AnnexCore
package import NIOCore

/// How a replica follows the log.
package struct LogSettings: Sendable {
    package var replication = ReplicationSettings()
    /// An answer of the log that takes longer means that it is gone. Also for connecting.
    package var answerTimeout = TimeAmount.seconds(1)
    /// How long a read waits in the log for entries to come.
    package var readMilliseconds: Int64 = 100
    /// Between attempts to connect; doubles with each up to the longest.
    package var shortestPause = TimeAmount.milliseconds(50)
    package var longestPause = TimeAmount.seconds(1)
    /// Between looks at deadlines and lag.
    package var tick = TimeAmount.milliseconds(50)
    /// A replica that has not known for so long that it had applied all that the log has answers no reads of users; nil:
    /// it always does. Milliseconds.
    package var maximumLag: Int64? = 10_000
    /// From so many entries, or from an oldest entry of so many seconds on, the log is said to want trimming.
    package var lengthWarning = 10_000_000
    package var ageWarning = 30 * 86_400
    /// WAITPOS that wait at a time, at most.
    package var waiterLimit = 10_000
    /// The slots whose changes this replica applies.
    package var slots = SlotSet.all

    package init() {}

    /// Streams that hold changes of the slots.
    var blocks: [Int] {
        (0..<Slot.blockCount).filter { block in
            let size = Slot.count / Slot.blockCount
            return self.slots.ranges.contains { $0.overlaps((block * size)...((block + 1) * size - 1)) }
        }
    }
}
