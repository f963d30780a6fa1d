package import AnnexCore

/// Some rows of a factor file, at most a few MiB (of an array in Fortran order up to 32).
package struct RowBlock {
    /// `count` × dimension floats, row-major, all finite.
    package var values: [Float] = []
    package var count = 0
    /// One per row where the file carries ids; else empty.
    package var identifiers: [Identifier] = []
    /// Which of the file's rows each is, counted from 0: rows that were left out count; headings and blank lines are no
    /// rows. A file of ids has its ids at these places.
    package var rowNumbers: [Int] = []
    /// Where each row stands, counted from 0, for messages: a line of a text, else the row's number.
    package var places: [Int] = []

    package init() {}

    mutating func removeAll() {
        self.values.removeAll(keepingCapacity: true)
        self.identifiers.removeAll(keepingCapacity: true)
        self.rowNumbers.removeAll(keepingCapacity: true)
        self.places.removeAll(keepingCapacity: true)
        self.count = 0
    }

    /// Rows of a block of 1 MiB.
    static func rows(of dimension: Int) -> Int { max(1, (1 << 18) / dimension) }
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
    /// Rows read so far, those that were left out included.
    var rowsRead: Int { get }
    /// Rows that were left out so far.
    var rejects: [RejectedRow] { get }

    /// Fills `block`; false at the end.
    ///
    /// - Throws: `.badInput` with file, row and column (counted from 1) for a bad row, unless bad rows are skipped; for
    ///   a bad file always.
    func next(_ block: inout RowBlock) throws(AnnexError) -> Bool
}

/// `FILE`, or `FILE:NAME` for one array of an `.npz`.
package struct FactorSource: Sendable, Equatable {
    package let path: String
    package let array: String?

    package init(_ specification: String) {
        if let colon = specification.lastIndex(of: ":"), FileEnding(String(specification[..<colon])).name == "npz" {
            self.path = String(specification[..<colon])
            self.array = String(specification[specification.index(after: colon)...])
        } else {
            self.path = specification
            self.array = nil
        }
    }

    package static let supported =
        ".npy .npz .fvecs .csv .tsv .jsonl .w2v (word2vec binary) .vec (word2vec text), each but .npz also with .gz "
        + "behind it"

    /// By the ending of the name, `.gz` taken off.
    ///
    /// - Throws: `.notFound` where there is no such file; `.badInput` where its beginning is not of that format, where
    ///   it is no regular file, and where a text has no row that can be used.
    package func open(skipBadRows: Bool) throws(AnnexError) -> any FactorReader {
        let gate = RowGate(path: self.path, skipBadRows: skipBadRows)
        let ending = FileEnding(self.path).name
        if ending == "npz" { return try NpyReader(try NpzMember.open(self.path, array: self.array), gate: gate) }
        let stream = try ByteStream(path: self.path)
        switch ending {
        case "npy": return try NpyReader(stream, gate: gate)
        case "fvecs": return try FvecsReader(stream, gate: gate)
        case "csv": return try DelimitedReader(stream, gate: gate, separator: UInt8(ascii: ","))
        case "tsv": return try DelimitedReader(stream, gate: gate, separator: UInt8(ascii: "\t"))
        case "jsonl": return try JSONLinesReader(stream, gate: gate)
        case "vec", "txt": return try Word2VecTextReader(stream, gate: gate)
        case "w2v", "bin": return try Word2VecBinaryReader(stream, gate: gate)
        default:
            throw AnnexError(
                .badInput,
                "the file's ending says nothing of its format",
                at: self.path,
                hint: "Known endings: " + Self.supported
            )
        }
    }
}

/// What a file's name says of its format.
struct FileEnding {
    /// In small letters, without its dot and without a `.gz` behind it; empty where there is none.
    let name: String
    let isGzipped: Bool

    init(_ path: String) {
        var parts = path.split(separator: ".").map { $0.lowercased() }
        self.isGzipped = parts.count > 1 && parts.last == "gz"
        if self.isGzipped { parts.removeLast() }
        self.name = parts.last ?? ""
    }
}
