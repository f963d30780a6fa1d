import AnnexCore
import AnnexFormats
import AnnexIndex

/// Takes a factor matrix into a version: ids are sorted into ordinals, and rows are written at them.
///
/// It passes over the source twice: the first pass checks every row and gathers ids, the second writes. It holds in
/// memory the ids, one block of rows, and 28 bytes a row.
struct MatrixIngest {
    /// Holds ids in byte order; the position is the ordinal.
    private(set) var identifiers: [Identifier] = []
    /// Holds the ordinal of each of the source's rows, -1 for one that was left out.
    private(set) var ordinalsOfRows: [Int32] = []
    /// Counts the components of a row of the source.
    private(set) var dimension = 0
    /// Returns the number of components with the bias, where there is one.
    var storedDimension: Int { self.dimension + (self.bias == nil ? 0 : ModelBias.components) }
    var rejects: [(file: String, row: RejectedRow)] = []

    let source: FactorSource
    private let idsFile: String?
    let rules: FactorRules
    private let what: String
    let bias: BiasColumn?

    /// - Parameters:
    ///   - bias: one more component of each row; nil for none. A row whose bias is bad is left out.
    ///   - what: `items` or `users`, for messages.
    init(vectors: String, ids: String?, bias: BiasColumn? = nil, what: String, rules: FactorRules) {
        self.bias = bias
        self.source = FactorSource(vectors)
        self.idsFile = ids
        self.rules = rules
        self.what = what
    }

    /// Reads, sorts and writes to a new file at `path`.
    mutating func run(to path: String, progress: (Double) -> Void) throws(AnnexError) {
        let given = try self.idsFile.map { file throws(AnnexError) in
            try IdentifierFile.read(file, skipBadRows: self.rules.skipBadRows)
        }
        let kept = try self.firstPass(given) { progress($0 * 0.4) }
        let ordinals = try self.sort(kept)
        try self.secondPass(kept.map(\.number), ordinals, to: path) { progress(0.4 + $0 * 0.6) }
    }

    /// Describes a row that may be kept: where it stands among the rows of the source, and its id.
    private struct Row {
        var identifier: Identifier
        /// Holds the number of the id, from 0: the row's number where ids have a file of their own, else the row's
        /// place.
        var number: Int
        /// Says which of the source's rows it is, from 0.
        var row: Int
    }

    private mutating func firstPass(
        _ given: [Identifier?]?,
        progress: (Double) -> Void
    ) throws(AnnexError) -> [Row] {
        let reader = try self.source.open(self.rules)
        self.dimension = reader.dimension
        guard given != nil || reader.carriesIdentifiers else {
            throw AnnexError(
                .usage,
                "the file holds no ids for the \(self.what)",
                at: self.source.path,
                hint: "Give a file of ids, one per row: --\(self.what == "users" ? "user-ids" : "ids") FILE"
                    + (self.source.isDelimited ? ", or say which column has them: --id-column 1" : "")
            )
        }
        guard given == nil || !reader.carriesIdentifiers else {
            throw AnnexError(
                .usage,
                "the file has ids of its own, and \(self.idsFile ?? "") gives others",
                at: self.source.path,
                hint: "Leave the ids file out"
            )
        }
        if let given, let rows = reader.rowCount, rows != given.count {
            throw AnnexError(
                .badInput,
                "has \(given.count) ids for \(rows) rows of \(self.source.path)",
                at: self.idsFile,
                hint: Self.countHint(ids: given.count, rows: rows)
            )
        }
        guard self.storedDimension <= Limits.maximumDimension else {
            throw AnnexError(
                .limit,
                "\(self.dimension) components and a bias are more than \(Limits.maximumDimension)",
                at: self.source.path,
                hint: "Train with fewer factors"
            )
        }
        let rows = try self.pair(given, reader, progress)
        for reject in reader.rejects { self.rejects.append((self.source.path, reject)) }
        try self.bias?.check(rows: reader.rowsRead, of: self.source.path)
        for reject in self.bias?.rejects ?? [] { self.rejects.append((self.bias?.file ?? "", reject)) }
        self.ordinalsOfRows = [Int32](repeating: -1, count: reader.rowsRead)
        guard !rows.isEmpty else {
            let hint = "Leave --skip-bad-rows out to see what to mend"
            throw AnnexError(.badInput, "none of \(reader.rowsRead) rows can be used", at: self.source.path, hint: hint)
        }
        guard rows.count <= Limits.maximumItems else {
            let hint = "Split them among several indexes"
            throw AnnexError(.limit, "more than \(Limits.maximumItems) rows", at: self.source.path, hint: hint)
        }
        return rows
    }

    /// Pairs rows with their ids. A row that was left out has used up its place in the file of ids.
    private mutating func pair(
        _ given: [Identifier?]?,
        _ reader: any FactorReader,
        _ progress: (Double) -> Void
    ) throws(AnnexError) -> [Row] {
        var rows: [Row] = []
        var block = RowBlock()
        while try reader.next(&block) {
            for index in 0..<block.count {
                let values = block.values[index * self.dimension..<(index + 1) * self.dimension]
                guard try self.acceptsBias(block.rowNumbers[index], values) else { continue }
                guard let given else {
                    rows.append(
                        Row(
                            identifier: block.identifiers[index],
                            number: block.lines[index],
                            row: block.rowNumbers[index]
                        )
                    )
                    continue
                }
                let number = block.rowNumbers[index]
                guard number < given.count else { continue }
                if let id = given[number] { rows.append(Row(identifier: id, number: number, row: number)) }
            }
            if let total = reader.rowCount { progress(Double(reader.rowsRead) / Double(total)) }
        }
        guard let given, reader.rowsRead != given.count else { return rows }
        throw AnnexError(
            .badInput,
            "has \(given.count) ids for \(reader.rowsRead) rows of \(self.source.path)",
            at: self.idsFile,
            hint: Self.countHint(ids: given.count, rows: reader.rowsRead)
        )
    }

    /// Returns the ordinal of each row that was kept, in the order of the file; -1 for one whose id an earlier row has,
    /// where bad rows are skipped. O(rows × log rows).
    private mutating func sort(_ rows: [Row]) throws(AnnexError) -> [Int32] {
        let order = rows.indices.sorted { a, b in
            rows[a].identifier < rows[b].identifier || (a < b && rows[a].identifier == rows[b].identifier)
        }
        var ordinals = [Int32](repeating: -1, count: rows.count)
        self.identifiers.reserveCapacity(rows.count)
        for index in order {
            let row = rows[index]
            if row.identifier == self.identifiers.last {
                let file = self.idsFile ?? self.source.path
                let reason = "the id '\(row.identifier)' stands in an earlier row too"
                guard self.rules.skipBadRows else {
                    throw AnnexError(
                        .badInput,
                        reason,
                        at: "\(file):\(row.number + 1)",
                        hint: "Ids must differ; or give --skip-bad-rows"
                    )
                }
                self.rejects.append((file, RejectedRow(row: row.number + 1, column: nil, reason: reason)))
                continue
            }
            ordinals[index] = Int32(self.identifiers.count)
            self.ordinalsOfRows[row.row] = ordinals[index]
            self.identifiers.append(row.identifier)
        }
        return ordinals
    }

    /// - Parameter numbers: of the rows that were kept, ascending; `ordinals` says where each goes.
    private func secondPass(
        _ numbers: [Int],
        _ ordinals: [Int32],
        to path: String,
        progress: (Double) -> Void
    ) throws(AnnexError) {
        let reader = try self.source.open(self.rules)
        let writer = try VectorFileWriter(path: path, rows: self.identifiers.count, dimension: self.storedDimension)
        var block = RowBlock()
        var next = 0
        let dimension = self.dimension
        // A row stands here with its bias behind it.
        var biased = [Float](repeating: 0, count: self.storedDimension)
        guard reader.dimension == dimension else {
            throw AnnexError(
                .badInput,
                "was changed while it was read",
                at: self.source.path,
                hint: "Build again once it is whole"
            )
        }
        while try reader.next(&block) {
            for index in 0..<block.count {
                // A row whose id was bad was not kept.
                let number = self.idsFile == nil ? block.lines[index] : block.rowNumbers[index]
                guard next < numbers.count, numbers[next] == number else { continue }
                let ordinal = Int(ordinals[next])
                next += 1
                guard ordinal >= 0 else { continue }
                let begin = index * dimension
                if let bias {
                    for component in 0..<dimension { biased[component] = block.values[begin + component] }
                    biased[dimension] = bias.value(block.rowNumbers[index]) ?? 0
                    try writer.write(row: biased.span, ordinal: ordinal)
                } else {
                    try writer.write(row: block.values.span.extracting(begin..<begin + dimension), ordinal: ordinal)
                }
            }
            progress(Double(next) / Double(numbers.count))
        }
        guard next == numbers.count else {
            throw AnnexError(
                .badInput,
                "was changed while it was read",
                at: self.source.path,
                hint: "Build again once it is whole"
            )
        }
        try writer.finish()
    }
}
