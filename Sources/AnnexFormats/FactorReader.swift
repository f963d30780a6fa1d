package import AnnexCore

/// Some rows of a factor file, at most a few MiB.
package struct RowBlock {
    /// `count` × dimension floats, row-major, all finite.
    package var values: [Float] = []
    package var count = 0
    /// One per row where the file carries ids; else empty.
    package var identifiers: [Identifier] = []
    /// Where each row stands in the file, counted from 0.
    package var rowNumbers: [Int] = []

    package init() {}

    mutating func removeAll() {
        self.values.removeAll(keepingCapacity: true)
        self.identifiers.removeAll(keepingCapacity: true)
        self.rowNumbers.removeAll(keepingCapacity: true)
        self.count = 0
    }
}

/// A row that was left out.
package struct RejectedRow: Sendable, Equatable {
    /// Counted from 1.
    package let row: Int
    /// Counted from 1; nil where the whole row is at fault.
    package let column: Int?
    package let reason: String

    package init(row: Int, column: Int?, reason: String) {
        self.row = row
        self.column = column
        self.reason = reason
    }
}

/// Reads a factor file from front to back, in blocks. Used by one thread; holds at most one block and its buffers.
package protocol FactorReader: AnyObject {
    var dimension: Int { get }
    /// Nil where only reading tells.
    var rowCount: Int? { get }
    var carriesIdentifiers: Bool { get }
    /// Rows that were left out so far.
    var rejects: [RejectedRow] { get }

    /// Fills `block`; false at the end.
    ///
    /// - Throws: `.badInput` with file, row and column (counted from 1) for a bad row, unless bad rows are skipped; for
    ///   a bad file always.
    func next(_ block: inout RowBlock) throws(AnnexError) -> Bool
}

/// Rows on their way into a block: checks each, and throws or notes it where it is bad.
struct RowGate {
    let path: String
    let skipBadRows: Bool
    private(set) var rejects: [RejectedRow] = []

    init(path: String, skipBadRows: Bool) {
        self.path = path
        self.skipBadRows = skipBadRows
    }

    /// - Parameter row: counted from 0.
    mutating func reject(row: Int, column: Int?, _ reason: String) throws(AnnexError) {
        guard self.skipBadRows else {
            let place = column.map { "\(self.path):\(row + 1):\($0 + 1)" } ?? "\(self.path):\(row + 1)"
            throw AnnexError(
                .badInput, reason, at: place, hint: "Rows and columns count from 1. Mend it, or give --skip-bad-rows")
        }
        self.rejects.append(RejectedRow(row: row + 1, column: column.map { $0 + 1 }, reason: reason))
    }

    /// Takes over the row that was just appended to `block.values`, or takes it off again.
    ///
    /// - Parameter columnsBefore: columns of the file in front of the vector's, for messages.
    mutating func settle(
        _ block: inout RowBlock, row: Int, dimension: Int, identifier: Identifier?, columnsBefore: Int = 0
    ) throws(AnnexError) {
        let start = block.values.count - dimension
        for column in 0..<dimension where !block.values[start + column].isFinite {
            let value = block.values[start + column]
            block.values.removeLast(dimension)
            return try self.reject(row: row, column: columnsBefore + column, "the value is \(value.isNaN ? "not a number" : "infinite or beyond float32")")
        }
        if let identifier { block.identifiers.append(identifier) }
        block.rowNumbers.append(row)
        block.count += 1
    }
}

/// `FILE`, or `FILE:NAME` for one array of an `.npz`.
package struct FactorSource: Sendable, Equatable {
    package let path: String
    package let array: String?

    package init(_ specification: String) {
        if let colon = specification.lastIndex(of: ":"), specification[..<colon].hasSuffix(".npz") {
            self.path = String(specification[..<colon])
            self.array = String(specification[specification.index(after: colon)...])
        } else {
            self.path = specification
            self.array = nil
        }
    }

    package static let supported =
        ".npy .npz .fvecs .csv .tsv .jsonl .w2v (word2vec binary) .vec (word2vec text), each also with .gz behind it"

    /// By the ending of the name, `.gz` taken off.
    package func open(skipBadRows: Bool) throws(AnnexError) -> any FactorReader {
        let gate = RowGate(path: self.path, skipBadRows: skipBadRows)
        let name = self.path.hasSuffix(".gz") ? String(self.path.dropLast(3)) : self.path
        let stream = try ByteStream(path: self.path)
        switch name.split(separator: ".").last.map({ $0.lowercased() }) {
        case "npy": return try NpyReader(stream, gate: gate)
        case "fvecs": return try FvecsReader(stream, gate: gate)
        case "csv": return try DelimitedReader(stream, gate: gate, separator: UInt8(ascii: ","))
        case "tsv": return try DelimitedReader(stream, gate: gate, separator: UInt8(ascii: "\t"))
        case "jsonl": return try JSONLinesReader(stream, gate: gate)
        case "vec", "txt": return try Word2VecTextReader(stream, gate: gate)
        case "w2v", "bin": return try Word2VecBinaryReader(stream, gate: gate)
        case "npz": return try NpyReader(try NpzMember.open(self.path, array: self.array), gate: gate)
        default:
            throw AnnexError(
                .badInput, "the file's ending says nothing of its format", at: self.path,
                hint: "Known endings: " + Self.supported)
        }
    }
}
