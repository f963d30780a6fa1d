import AnnexCore

/// `.fvecs` (TEXMEX): each row is its dimension as int32, then so many float32, little-endian.
final class FvecsReader: FactorReader {
    let dimension: Int
    let rowCount: Int? = nil
    let carriesIdentifiers = false
    var rejects: [RejectedRow] { self.gate.rejects }

    private let stream: ByteStream
    private var gate: RowGate
    private var row = 0
    private var waitingHeader: Int?

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        self.stream = stream
        self.gate = gate
        let first = try Self.header(stream)
        guard let first, (1...Limits.maximumDimension).contains(first) else {
            throw AnnexError(.badInput, "not an .fvecs file: the first row's dimension is \(first ?? 0)", at: stream.path)
        }
        self.dimension = first
        self.waitingHeader = first
    }

    private static func header(_ stream: ByteStream) throws(AnnexError) -> Int? {
        try stream.take(4) { Int(Int32(littleEndian: $0.loadUnaligned(as: Int32.self))) }
    }

    func next(_ block: inout RowBlock) throws(AnnexError) -> Bool {
        block.removeAll()
        let limit = max(1, (1 << 20) / self.dimension)
        let before = self.row
        for _ in 0..<limit {
            if self.waitingHeader == nil {
                if try self.stream.isAtEnd() { break }
                self.waitingHeader = try Self.header(self.stream)
            }
            // A wrong length leaves no way to find the next row: never skipped.
            guard self.waitingHeader == self.dimension else {
                throw AnnexError(
                    .badInput, "row \(self.row + 1) has dimension \(self.waitingHeader ?? 0), the first has \(self.dimension)",
                    at: "\(self.stream.path):\(self.row + 1)", hint: "The file is cut or damaged")
            }
            self.waitingHeader = nil
            let taken: Void? = try self.stream.take(self.dimension * 4) { bytes in
                for offset in stride(from: 0, to: bytes.count, by: 4) {
                    let bits = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                    block.values.append(Float(bitPattern: UInt32(littleEndian: bits)))
                }
            }
            guard taken != nil else {
                throw AnnexError(.badInput, "the file ends within row \(self.row + 1)", at: self.stream.path, hint: "It was cut; copy it again")
            }
            try self.gate.settle(&block, row: self.row, dimension: self.dimension, identifier: nil)
            self.row += 1
        }
        return self.row > before
    }
}
