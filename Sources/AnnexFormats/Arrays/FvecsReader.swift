import AnnexCore

/// Reads `.fvecs` (TEXMEX): each row is its dimension as int32, then so many float32, little-endian.
final class FvecsReader: FactorReader {
    let dimension: Int
    let rowCount: Int? = nil
    let carriesIdentifiers = false
    var rejects: [RejectedRow] { self.gate.rejects }
    private(set) var rowsRead = 0

    private let stream: ByteStream
    private var gate: RowGate
    private var waitingHeader: Int?

    init(_ stream: ByteStream, gate: RowGate) throws(AnnexError) {
        self.stream = stream
        self.gate = gate
        let first = try Self.header(stream)
        guard let first, (1...Limits.maximumDimension).contains(first) else {
            let what = first.map { "the first row's dimension is \($0)" } ?? "it has fewer than 4 bytes"
            throw AnnexError(
                .badInput,
                "not an .fvecs file: \(what)",
                at: stream.path,
                hint: "Name it after its format. Endings are: \(FactorFormat.documentation)"
            )
        }
        self.dimension = first
        self.waitingHeader = first
    }

    private static func header(_ stream: ByteStream) throws(AnnexError) -> Int? {
        guard let bytes = try stream.bytes(4) else { return nil }
        return Int(Int32(truncatingIfNeeded: bytes.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }))
    }

    func next(_ block: inout RowBlock) throws(AnnexError) -> Bool {
        block.removeAll()
        let before = self.rowsRead
        for _ in 0..<RowBlock.rows(of: self.dimension) {
            if self.waitingHeader == nil {
                if try self.stream.isAtEnd() { break }
                self.waitingHeader = try Self.header(self.stream)
            }
            // A wrong length leaves no way to find the next row: never skipped.
            guard self.waitingHeader == self.dimension else {
                let message = "row \(self.rowsRead + 1) has dimension \(self.waitingHeader ?? 0), the first has"
                throw AnnexError(
                    .badInput,
                    message + " \(self.dimension)",
                    at: "\(self.stream.path):\(self.rowsRead + 1)",
                    hint: "The file is cut or damaged"
                )
            }
            self.waitingHeader = nil
            let taken: Void? = try self.stream.take(self.dimension * 4) {
                FloatDecoder.float32.append($0, to: &block.values)
            }
            guard taken != nil else {
                throw AnnexError(
                    .badInput,
                    "the file ends within row \(self.rowsRead + 1)",
                    at: self.stream.path,
                    hint: "It was cut; copy it again"
                )
            }
            try self.gate.settle(&block, row: self.rowsRead, dimension: self.dimension, identifier: nil)
            self.rowsRead += 1
        }
        return self.rowsRead > before
    }
}
