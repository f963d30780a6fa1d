import AnnexCore
import AnnexLog

/// What a replica has on disk: what it applied, in order, and up to where. It takes an entry only right behind the one before.
struct SimState {
    struct Applied: Equatable {
        let id: Int
        /// A repetition of an event that may be repeated.
        let isRepeated: Bool
    }

    private(set) var marks = [LogMark](repeating: .start, count: Slot.blockCount)
    private(set) var blocks = [[Applied]](repeating: [], count: Slot.blockCount)
    private var known: Set<Int> = []

    func holds(_ change: SimChange) -> Bool { self.known.contains(change.id) }

    enum Result { case done(LogMark, wasNew: Bool?), doesNotFollow }

    mutating func apply(_ entry: ReadEntry<SimChange>, after previous: LogPosition, block: Int) -> Result {
        let mark = self.marks[block]
        if entry.position <= mark.position { return .done(mark, wasNew: nil) }
        guard previous == mark.position else { return .doesNotFollow }
        self.marks[block] = LogMark(position: entry.position, count: mark.count + 1)
        guard let change = entry.content?.change else { return .done(self.marks[block], wasNew: nil) }
        let isNew = self.known.insert(change.id).inserted
        self.blocks[block].append(Applied(id: change.id, isRepeated: change.isIdempotent && !isNew))
        return .done(self.marks[block], wasNew: isNew)
    }
}
