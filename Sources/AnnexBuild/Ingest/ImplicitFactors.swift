import AnnexCore
import AnnexFormats
import AnnexIndex
import AnnexStore
import Foundation

/// Holds SVD++'s second factors of the items. A user's vector is p_u + |N(u)|^-½ Σ y_j, the sum over the items j of the
/// user's history N(u), whatever their weights (Koren 2008).
struct ImplicitFactors {
    private static let file = ".implicit.f32"
    private static let summedFile = ".summed.f32"

    private let source: String
    private let publisher: Publisher
    private let rows: VectorFile

    /// Reads rows that stand in the order of the items' source into a file of their own. No bad row is left out, as the
    /// sums of all users who have the item would be wrong without it.
    ///
    /// - Parameter dimension: of the factors, without biases.
    /// - Throws: `.badInput` for another shape than the items', and for ids that are not the items'.
    init(source: String, publisher: Publisher, items: KnownRows, dimension: Int) throws {
        self.source = source
        self.publisher = publisher
        let reader = try FactorSource(source).open(FactorRules(metric: .ip))
        guard reader.dimension == dimension else {
            throw Self.mismatch("the rows have \(reader.dimension) components, the items' \(dimension)", source)
        }
        let path = publisher.path(Self.file)
        let writer = try VectorFileWriter(path: path, rows: items.identifiers.count, dimension: dimension)
        var block = RowBlock()
        while try reader.next(&block) {
            for index in 0..<block.count {
                let row = block.rowNumbers[index]
                guard row < items.numbersOfRows.count else { break }
                let ordinal = Int(items.numbersOfRows[row])
                guard ordinal >= 0 else { continue }
                if reader.carriesIdentifiers, block.identifiers[index] != items.identifiers[ordinal] {
                    throw Self.mismatch(
                        "the row is of '\(block.identifiers[index])', the items' one is of '\(items.identifiers[ordinal])'",
                        "\(source):\(block.lines[index] + 1)"
                    )
                }
                let values = block.values.span.extracting(index * dimension..<(index + 1) * dimension)
                try writer.write(row: values, ordinal: ordinal)
            }
        }
        guard reader.rowsRead == items.numbersOfRows.count else {
            throw Self.mismatch("has \(reader.rowsRead) rows, the items \(items.numbersOfRows.count)", source)
        }
        try writer.finish()
        self.rows = try VectorFile(path: path, rows: items.identifiers.count, dimension: dimension)
    }

    private static func mismatch(_ what: String, _ location: String) -> AnnexError {
        AnnexError(
            .badInput,
            what,
            at: location,
            hint: "Implicit factors stand in rows as the items' factors do, of the same model"
        )
    }

    /// Writes the users' rows with the sums over their histories in them to a file that takes the place of theirs at
    /// `path`. O((users + interactions) × dimension). Sums are float64.
    ///
    /// - Parameter users: of the known users, by number; may have a component more than the factors, which stays.
    func add(to users: VectorFile, at path: String, _ histories: HistoryIngest) throws -> VectorFile {
        let summed = self.publisher.path(Self.summedFile)
        let writer = try VectorFileWriter(path: summed, rows: users.rows, dimension: users.dimension)
        var row = [Float](repeating: 0, count: users.dimension)
        var sum = [Double](repeating: 0, count: self.rows.dimension)
        for user in 0..<users.rows {
            users.withRow(user) { row.overwrite(with: $0) }
            let count = histories.count(of: user)
            if count > 0 {
                for component in sum.indices { sum[component] = 0 }
                for entry in histories.history(of: user) {
                    self.rows.withRow(Int(entry.ordinal)) { y in
                        for component in sum.indices { sum[component] += Double(y[component]) }
                    }
                }
                let scale = 1 / Double(count).squareRoot()
                for component in sum.indices { row[component] = Float(Double(row[component]) + scale * sum[component]) }
            }
            let length = row.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            if let problem = VectorLength.problem(length, metric: .ip) {
                throw AnnexError(
                    .badInput,
                    "the sum for user '\(histories.identifiers[user])': \(problem)",
                    at: self.source,
                    hint:
                        "Users' and implicit factors must come from the same model, of a training that did not diverge"
                )
            }
            try writer.write(row: row.span, ordinal: user)
        }
        try writer.finish()
        try FileManager.default.removeItem(atPath: self.publisher.path(Self.file))
        try FileManager.default.removeItem(atPath: path)
        try FileManager.default.moveItem(atPath: summed, toPath: path)
        return try VectorFile(path: path, rows: users.rows, dimension: users.dimension)
    }
}
