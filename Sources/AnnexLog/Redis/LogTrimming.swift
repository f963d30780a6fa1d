package import AnnexCore
package import AnnexWire

/// Holds a backup's position in the log that it follows.
package struct LogSnapshot: Sendable {
    /// Names the backup in messages.
    package let name: String
    /// Holds the positions up to which each of the 16 streams is applied.
    package let marks: [LogMark]
    /// Holds the slots whose changes it has. It is nil where it does not say.
    package let slots: SlotSet?
    /// Holds the id of the log. It is nil where it does not say.
    package let identity: LogIdentity?

    package init(name: String, marks: [LogMark], slots: SlotSet?, identity: LogIdentity?) {
        (self.name, self.marks, self.slots, self.identity) = (name, marks, slots, identity)
    }

    fileprivate func mark(_ block: Int) -> LogMark { self.marks.indices.contains(block) ? self.marks[block] : .start }
}

/// Finds the entries of an index's streams that nobody needs any more who has one of some snapshots.
package struct LogTrimming: Sendable {
    package struct Step: Sendable, Equatable {
        package let block: Int
        /// Holds the oldest of the snapshots' positions; it stays, and what is before it goes.
        package let mark: LogMark
    }

    /// Names a stream that stays as it is, and why.
    package struct Whole: Sendable, Equatable {
        package let block: Int
        package let reason: String
    }

    package let steps: [Step]
    package let untouched: [Whole]
    private let snapshots: [LogSnapshot]
    private let streams: LogStreams

    /// - Parameters:
    ///   - snapshots: of whatever shards. A stream is trimmed behind the oldest of those that have slots of it, where these have
    ///     all of its slots together.
    ///   - slots: only streams whose slots lie in them entirely; what a snapshot has that does not say.
    package init(index: EntryName, prefix: String, snapshots: [LogSnapshot], slots: SlotSet) {
        var steps: [Step] = []
        var untouched: [Whole] = []
        for block in 0..<Slot.blockCount {
            let size = Slot.count / Slot.blockCount
            let own = SlotSet([(block * size)...((block + 1) * size - 1)])
            guard slots.intersection(own) == own else { continue }
            let concerned = snapshots.filter { ($0.slots ?? slots).intersection(own).count > 0 }
            let covered = SlotSet(concerned.flatMap { ($0.slots ?? slots).ranges }).intersection(own)
            let oldest = concerned.map { $0.mark(block) }.min { $0.position < $1.position } ?? .start
            if concerned.isEmpty {
                untouched.append(Whole(block: block, reason: "no backup has its slots, \(own)"))
            } else if covered != own {
                let missing = SlotSet(own.ranges.flatMap { $0.filter { !covered.contains($0) }.map { $0...$0 } })
                untouched.append(Whole(block: block, reason: "no backup has its slots \(missing)"))
            } else if oldest.position == .start {
                let name = concerned.first { $0.mark(block).position == .start }?.name ?? ""
                untouched.append(Whole(block: block, reason: "\(name) has nothing of it"))
            } else {
                steps.append(Step(block: block, mark: oldest))
            }
        }
        self.steps = steps
        self.untouched = untouched
        self.snapshots = snapshots
        self.streams = LogStreams(index: index, prefix: prefix)
    }

    package var askIdentity: [[UInt8]] { self.streams.askIdentity }

    /// Returns why nothing must be trimmed: a snapshot is of another log. Returns nil where all may be of this one.
    package func refusal(identity reply: ReplyValue) -> String? {
        let log: LogIdentity?
        do throws(RedisFailure) { log = try LogStreams.identity(reply) } catch { return "\(error)" }
        for snapshot in self.snapshots {
            guard let other = snapshot.identity, other != log else { continue }
            return "\(snapshot.name) is a backup of the log \(other), and this one has "
                + (log.map { "the id \($0)" } ?? "no id")
        }
        return nil
    }

    /// Returns two commands; `refusal` makes sense of their answers.
    package func check(_ step: Step) -> [[[UInt8]]] { self.streams.check(step.block, step.mark.position) }

    /// Returns why a stream must not be trimmed: it is not the one that the snapshots follow. Returns nil where it may
    /// be.
    package func refusal(_ step: Step, _ info: ReplyValue, _ range: ReplyValue) -> String? {
        guard let facts = LogStreams.facts(step.block, step.mark, info, range) else {
            return info.text ?? range.text ?? "an answer that makes no sense"
        }
        return LogProblem(facts)?.text
    }

    /// Its answer is the number of entries that went.
    package func trim(_ step: Step) -> [[UInt8]] {
        [
            "XTRIM", String(decoding: self.streams.keys[step.block], as: UTF8.self), "MINID", "=",
            "\(step.mark.position)",
        ]
        .map { Array($0.utf8) }
    }
}

extension SlotSet {
    /// Returns the slots that are in both sets.
    fileprivate func intersection(_ other: SlotSet) -> SlotSet {
        SlotSet(
            self.ranges.flatMap { mine in
                other.ranges.compactMap { mine.overlaps($0) ? mine.clamped(to: $0) : nil }
            }
        )
    }
}
