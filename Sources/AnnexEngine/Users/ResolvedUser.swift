import AnnexCore
import AnnexIndex

/// Holds what a query needs of a user as of one change, in one version. It is immutable and shared by threads.
final class ResolvedUser: Sendable {
    let id: [UInt8]
    /// The state's change counter of the user that this follows from; no other user or state has it.
    let counter: UInt64
    /// It is nil where nothing is known to make one from.
    let vector: [Float]?
    /// Tells whether the vector was solved for; otherwise it is the one that the version has.
    let isSolved: Bool
    /// Lists ordinals that were seen, each once or twice.
    let seen: [Int32]
    /// Holds the same as marks, where there are so many that marking them takes longer than a search. Else it is nil.
    let marks: ExclusionMarks?
    private let rows: Int

    init(id: [UInt8], counter: UInt64, vector: [Float]?, isSolved: Bool, seen: [Int32], rows: Int) {
        self.id = id
        self.counter = counter
        self.vector = vector
        self.isSolved = isSolved
        self.seen = seen
        self.rows = rows
        guard Self.areMany(seen.count, of: rows) else {
            self.marks = nil
            return
        }
        var marks = ExclusionMarks(rows: rows)
        for ordinal in seen { marks.mark(ordinal) }
        self.marks = marks
    }

    /// Estimates the bytes that it holds.
    var byteCount: Int {
        let marks = self.marks == nil ? 0 : self.rows / 4
        return 256 + self.id.count + 4 * ((self.vector?.count ?? 0) + self.seen.count) + marks
    }

    /// Marks take a quarter of a byte per row: at most 32 bytes per item seen.
    static func areMany(_ seen: Int, of rows: Int) -> Bool { seen >= max(256, rows / 128) }

    /// Ids are compared too: a damaged record may lend a user the counter of another.
    func isOf(_ counter: UInt64, _ id: Span<UInt8>) -> Bool {
        self.counter == counter && id.elementsEqual(self.id)
    }
}
