package import AnnexCore
package import AnnexWire

/// Which entries of an index's streams nobody needs any more, who has one of some snapshots.
package struct LogTrimming: Sendable {
    package struct Step: Sendable, Equatable {
        package let block: Int
        /// The oldest of the snapshots' positions; it stays, and what is before it goes.
        package let mark: LogMark
    }

    package let steps: [Step]
    /// Blocks of which some snapshot has no entry, so that nothing of them may go.
    package let untouched: [Int]
    private let streams: LogStreams

    /// - Parameters:
    ///   - snapshots: the 16 positions of each.
    ///   - slots: only of blocks that lie in them entirely.
    package init(index: EntryName, snapshots: [[LogMark]], slots: SlotSet) {
        let size = Slot.count / Slot.blockCount
        let blocks = (0..<Slot.blockCount).filter { block in
            (block * size..<(block + 1) * size).allSatisfy { slots.contains($0) }
        }
        var steps: [Step] = []
        var untouched: [Int] = []
        for block in blocks {
            let marks = snapshots.map { $0.indices.contains(block) ? $0[block] : .start }
            let oldest = marks.min { $0.position < $1.position } ?? .start
            if oldest.position > .start {
                steps.append(Step(block: block, mark: oldest))
            } else {
                untouched.append(block)
            }
        }
        self.steps = steps
        self.untouched = untouched
        self.streams = LogStreams(index: index)
    }

    /// Two commands; `refusal` makes sense of their answers.
    package func check(_ step: Step) -> [[[UInt8]]] { self.streams.check(step.block, step.mark.position) }

    /// Why a stream must not be trimmed: it is not the one that the snapshots follow. Nil where it may be.
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
