import AnnexCore
import AnnexFormats
import AnnexStore

/// Holds ids in byte order, and where the rows of their source went.
struct KnownRows: Sendable {
    /// The position is the number: an item's ordinal.
    var identifiers: [Identifier] = []
    /// Holds the number of each row of the source, -1 where it was left out.
    var numbersOfRows: [Int32] = []
}

/// Takes a trainer's interactions into a version: they are grouped by user, by ascending ordinal, and weights of the
/// same user and item are added up.
///
/// It holds 12 bytes an interaction in memory, a half more while they are sorted, the ids of users, and dictionaries of
/// ids where the source is text.
struct HistoryIngest: Sendable {
    /// Holds the known users, then those that only the history has, in the order in which it names them.
    private(set) var identifiers: [Identifier]
    private(set) var rejects: [RejectedRow] = []

    private struct Entry {
        var user: Int32
        var ordinal: Int32
        var weight: Float

        var key: Int64 { Int64(self.user) << 32 | Int64(self.ordinal) }
    }

    private let file: String
    private let rules: HistoryRules
    private let items: KnownRows
    private let users: KnownRows
    private var entries: [Entry] = []
    /// Holds the index at which each user's entries begin, and that at which the last ones end.
    private var starts: [Int] = []

    /// - Parameters:
    ///   - users: a matrix's rows are theirs; may be empty where the source names them.
    init(file: String, rules: HistoryRules, items: KnownRows, users: KnownRows) {
        (self.file, self.rules) = (file, rules)
        (self.items, self.users) = (items, users)
        self.identifiers = users.identifiers
    }

    /// Counts the different items in all histories.
    var count: Int { self.entries.count }

    /// Counts the users with a history.
    var userCount: Int { self.identifiers.indices.count { self.count(of: $0) > 0 } }

    func count(of user: Int) -> Int { self.starts[user + 1] - self.starts[user] }

    /// Returns a user's history; empty for one without.
    func history(of user: Int) -> some Collection<HistoryEntry> {
        self.entries[self.starts[user]..<self.starts[user + 1]].lazy.map {
            HistoryEntry(ordinal: $0.ordinal, weight: $0.weight)
        }
    }

    /// Reads, sorts and adds up. O(interactions × log interactions).
    ///
    /// - Throws: `.badInput` with file and row (counted from 1) for an unknown item, a weight that is no number or a time
    ///   after the cut, unless bad rows are skipped; for a matrix of another shape than the factors always.
    mutating func run(progress: (Double) -> Void) throws(AnnexError) {
        let rules = self.rules
        switch try InteractionFile.open(self.file, skipBadRows: rules.skipBadRows, columns: rules.columns) {
        case .matrix(let matrix): try self.read(matrix) { progress($0 * 0.8) }
        case .text(let text): try self.read(text)
        }
        guard !self.entries.isEmpty else {
            throw AnnexError(
                .badInput,
                "has no interactions that can be used",
                at: self.file,
                hint: "Leave --history and --trained-until out where there is none"
            )
        }
        self.entries.sort { $0.key < $1.key || ($0.key == $1.key && $0.weight < $1.weight) }
        try self.addUp()
        self.starts = [Int](repeating: 0, count: self.identifiers.count + 1)
        for entry in self.entries { self.starts[Int(entry.user) + 1] += 1 }
        for user in self.identifiers.indices { self.starts[user + 1] += self.starts[user] }
    }

    private mutating func read(_ matrix: InteractionMatrix, progress: (Double) -> Void) throws(AnnexError) {
        let (rows, columns) = (self.users.numbersOfRows.count, self.items.numbersOfRows.count)
        guard matrix.columns == columns, matrix.rows == rows else {
            throw AnnexError(
                .badInput,
                "the matrix is \(matrix.rows) × \(matrix.columns), the factors are of \(rows) users and \(columns) items",
                at: self.file,
                hint: matrix.rows == columns && matrix.columns == rows
                    ? "Rows are users: save matrix.T.tocsr()" : "Matrix and factors must come from the same model"
            )
        }
        // A header may say anything.
        self.entries.reserveCapacity(min(matrix.count, 1 << 24))
        var block: [InteractionMatrix.Entry] = []
        while try matrix.next(&block) {
            for entry in block {
                let user = self.users.numbersOfRows[Int(entry.row)]
                let item = self.items.numbersOfRows[Int(entry.column)]
                guard user >= 0 else {
                    try matrix.reject(row: entry.row, "the user's factors were left out")
                    continue
                }
                guard item >= 0 else {
                    try matrix.reject(row: entry.row, "the factors of the item in column \(entry.column) were left out")
                    continue
                }
                if let problem = self.rules.problem(weight: Double(entry.weight)) {
                    try matrix.reject(row: entry.row, "\(problem), in column \(entry.column)")
                    continue
                }
                self.entries.append(Entry(user: user, ordinal: item, weight: entry.weight))
            }
            progress(Double(matrix.entriesRead) / Double(matrix.count))
        }
        self.rejects = matrix.rejects
    }

    private mutating func read(_ text: InteractionText) throws(AnnexError) {
        var items = [Identifier: Int32](minimumCapacity: self.items.identifiers.count)
        for (ordinal, id) in self.items.identifiers.enumerated() { items[id] = Int32(ordinal) }
        var users = [Identifier: Int32](minimumCapacity: self.identifiers.count)
        for (number, id) in self.identifiers.enumerated() { users[id] = Int32(number) }
        while let entry = try text.next() {
            guard let ordinal = items[entry.item] else {
                try text.reject(entry, .item, "there is no item '\(entry.item)'")
                continue
            }
            guard entry.time ?? 0 <= self.rules.trainedUntil else {
                let reason = "the time \(entry.time ?? 0) is after trained-until, \(self.rules.trainedUntil)"
                try text.reject(entry, .time, reason)
                continue
            }
            if let problem = self.rules.problem(weight: Double(entry.weight)) {
                try text.reject(entry, .weight, problem)
                continue
            }
            if users[entry.user] == nil {
                guard self.identifiers.count < Limits.maximumItems else {
                    let hint = "Split them among several indexes"
                    throw AnnexError(.limit, "more than \(Limits.maximumItems) users", at: self.file, hint: hint)
                }
                users[entry.user] = Int32(self.identifiers.count)
                self.identifiers.append(entry.user)
            }
            self.entries.append(Entry(user: users[entry.user] ?? 0, ordinal: ordinal, weight: entry.weight))
        }
        self.rejects = text.rejects
    }

    /// Makes one entry of each run of the same user and item; sums are float64, whatever order the file had.
    private mutating func addUp() throws(AnnexError) {
        var kept = 0
        var next = 0
        while next < self.entries.count {
            var entry = self.entries[next]
            var sum = 0.0
            while next < self.entries.count, self.entries[next].key == entry.key {
                sum += Double(self.entries[next].weight)
                next += 1
            }
            entry.weight = Float(sum)
            if let problem = self.rules.problem(weight: sum) {
                let (user, item) = (self.identifiers[Int(entry.user)], self.items.identifiers[Int(entry.ordinal)])
                throw AnnexError(
                    .badInput,
                    "of item '\(item)' for user '\(user)', all lines together, \(problem)",
                    at: self.file,
                    hint: HistoryRules.hint
                )
            }
            self.entries[kept] = entry
            kept += 1
        }
        self.entries.removeLast(self.entries.count - kept)
    }
}
