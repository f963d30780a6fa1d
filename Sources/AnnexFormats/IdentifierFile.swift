package import AnnexCore

/// Ids, one per row: a text file with one per line, or a one-dimensional `.npy` of integers or strings.
package enum IdentifierFile {
    /// In the order of the file; nil in the place of a bad id where bad rows are skipped. Duplicates are the caller's.
    package static func read(_ specification: String, skipBadRows: Bool) throws(AnnexError) -> [Identifier?] {
        let source = FactorSource(specification)
        var gate = RowGate(path: source.path, skipBadRows: skipBadRows)
        let name = source.path.hasSuffix(".gz") ? String(source.path.dropLast(3)) : source.path
        if name.hasSuffix(".npz") { return try Self.array(try NpzMember.open(source.path, array: source.array), &gate) }
        let stream = try ByteStream(path: source.path)
        return name.hasSuffix(".npy") ? try Self.array(stream, &gate) : try Self.lines(stream, &gate)
    }

    static func check(_ bytes: [UInt8]) -> String? {
        if bytes.isEmpty { return "the id is empty" }
        if bytes.count > Identifier.maximumLength { return "the id has \(bytes.count) bytes, at most 255 are possible" }
        return Identifier.isValid(bytes) ? nil : "the id is not valid UTF-8"
    }

    private static func lines(_ stream: ByteStream, _ gate: inout RowGate) throws(AnnexError) -> [Identifier?] {
        var ids: [Identifier?] = []
        while let line = try stream.line() { ids.append(try Self.accept(line, row: ids.count, &gate)) }
        return ids
    }

    private static func accept(_ bytes: [UInt8], row: Int, _ gate: inout RowGate) throws(AnnexError) -> Identifier? {
        if let problem = Self.check(bytes) {
            try gate.reject(row: row, column: nil, problem)
            return nil
        }
        return Identifier(bytes)
    }

    private static func array(_ stream: ByteStream, _ gate: inout RowGate) throws(AnnexError) -> [Identifier?] {
        let header = try NpyHeader.read(stream)
        guard header.shape.count == 1, header.kind != UInt8(ascii: "f") else {
            throw AnnexError(.badInput, "ids are a one-dimensional array of integers or strings", at: stream.path)
        }
        var ids: [Identifier?] = []
        for row in 0..<header.shape[0] {
            guard let bytes = try stream.take(header.itemBytes, { Self.text($0, header) }) else {
                throw AnnexError(.badInput, "the file ends at id \(row + 1) of \(header.shape[0])", at: stream.path)
            }
            ids.append(try Self.accept(bytes, row: row, &gate))
        }
        guard try stream.isAtEnd() else { throw AnnexError(.badInput, "bytes are left behind the array", at: stream.path) }
        return ids
    }

    private static func text(_ bytes: UnsafeRawBufferPointer, _ header: NpyHeader) -> [UInt8] {
        switch header.kind {
        case UInt8(ascii: "S"):
            let end = (bytes.lastIndex { $0 != 0 } ?? -1) + 1
            return Array(bytes[..<end])
        case UInt8(ascii: "U"):
            var out: [UInt8] = []
            var zeros = 0
            for offset in stride(from: 0, to: bytes.count, by: 4) {
                let raw = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                let value = header.bigEndian ? UInt32(bigEndian: raw) : UInt32(littleEndian: raw)
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
        default: return Array(Self.integer(bytes, header).utf8)
        }
    }

    private static func integer(_ bytes: UnsafeRawBufferPointer, _ header: NpyHeader) -> String {
        var bits: UInt64 = 0
        for byte in header.bigEndian ? Array(bytes) : Array(bytes.reversed()) { bits = bits << 8 | UInt64(byte) }
        guard header.kind == UInt8(ascii: "i") else { return String(bits) }
        let shift = UInt64(64 - 8 * header.itemBytes)
        return String(Int64(bitPattern: bits << shift) >> Int64(shift))
    }
}
