package import AnnexCore

/// Reads ids, one per row: a text file has one per line, or the file is a one-dimensional `.npy` of integers or
/// strings.
package enum IdentifierFile {
    /// Reads ids in the order of the file; nil in the place of a bad id where bad rows are skipped. Duplicates are the caller's.
    package static func read(_ specification: String, skipBadRows: Bool) throws(AnnexError) -> [Identifier?] {
        let source = FactorSource(specification)
        var gate = RowGate(path: source.path, skipBadRows: skipBadRows)
        let ending = FileEnding(source.path).name
        if ending == "npz" { return try Self.array(try NpzMember.open(source.path, array: source.array), &gate) }
        let stream = try ByteStream(path: source.path)
        if ending == "npy" { return try Self.array(stream, &gate) }
        try stream.beginText()
        return try Self.lines(stream, &gate)
    }

    private static func lines(_ stream: ByteStream, _ gate: inout RowGate) throws(AnnexError) -> [Identifier?] {
        var ids: [Identifier?] = []
        while let line = try stream.line() { ids.append(try Self.accept(line, row: ids.count, &gate)) }
        return ids
    }

    private static func accept(_ bytes: [UInt8], row: Int, _ gate: inout RowGate) throws(AnnexError) -> Identifier? {
        if let problem = IdentifierCheck.problem(bytes) {
            try gate.reject(row: row, RowProblem(problem))
            return nil
        }
        return Identifier(bytes)
    }

    private static func array(_ stream: ByteStream, _ gate: inout RowGate) throws(AnnexError) -> [Identifier?] {
        let header = try NpyHeader.read(stream)
        guard header.shape.count == 1, header.kind != UInt8(ascii: "f"), header.kind != UInt8(ascii: "b") else {
            let isNumber = header.shape.count == 1
            throw AnnexError(
                .badInput,
                "the ids have \(header.summary), and are no one-dimensional array of integers or text",
                at: stream.path,
                hint: isNumber ? "Convert them: array.astype('int64'), once no id is missing" : header.oneAxisHint
            )
        }
        var ids: [Identifier?] = []
        for row in 0..<header.shape[0] {
            guard let bytes = try stream.bytes(header.itemBytes) else {
                throw AnnexError(
                    .badInput,
                    "the file ends at id \(row + 1) of \(header.shape[0])",
                    at: stream.path,
                    hint: "It was cut; copy it again"
                )
            }
            ids.append(try Self.accept(Self.text(bytes, header), row: row, &gate))
        }
        try stream.checkEnd()
        return ids
    }

    /// Writes one element of an array of strings or integers as text.
    static func text(_ bytes: [UInt8], _ header: NpyHeader) -> [UInt8] {
        switch header.kind {
        case UInt8(ascii: "S"): Array(bytes[..<((bytes.lastIndex { $0 != 0 } ?? -1) + 1)])
        case UInt8(ascii: "U"): Self.unicode(bytes, header)
        default: Array(Self.integer(bytes, header).utf8)
        }
    }

    /// NumPy's text is UTF-32, filled up with zeros.
    private static func unicode(_ bytes: [UInt8], _ header: NpyHeader) -> [UInt8] {
        var out: [UInt8] = []
        var zeros = 0
        for offset in stride(from: 0, to: bytes.count, by: 4) {
            let value = UInt32(Self.bits(bytes[offset..<offset + 4], header))
            if value == 0 {
                zeros += 1
                continue
            }
            out.append(contentsOf: repeatElement(0, count: zeros))
            zeros = 0
            // 0xff is no UTF-8: what is no Unicode scalar is refused as such.
            out.append(contentsOf: Unicode.Scalar(value).map { Array(String($0).utf8) } ?? [0xff])
        }
        return out
    }

    private static func integer(_ bytes: [UInt8], _ header: NpyHeader) -> String {
        let bits = Self.bits(bytes[...], header)
        guard header.kind == UInt8(ascii: "i") else { return String(bits) }
        let shift = UInt64(64 - 8 * header.itemBytes)
        return String(Int64(bitPattern: bits << shift) >> Int64(shift))
    }

    /// Gives at most 8 bytes as a number.
    private static func bits(_ bytes: ArraySlice<UInt8>, _ header: NpyHeader) -> UInt64 {
        header.bigEndian
            ? bytes.reduce(0) { $0 << 8 | UInt64($1) } : bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
