import AnnexCore

/// Finds one array of a `.npz`, a ZIP archive whose members are stored or deflated `.npy` files (APPNOTE 6.3; ZIP64
/// where NumPy writes it).
enum NpzMember {
    private struct Entry {
        var name: String
        var flags: Int
        var method: Int
        var packedBytes: Int
        var headerOffset: Int
        var crc: Int
    }

    static func open(_ path: String, array: String?) throws(AnnexError) -> ByteStream {
        guard !FileEnding(path).isGzipped else {
            throw AnnexError(
                .badInput,
                "a gzipped .npz is not read",
                at: path,
                hint: "Unpack it with gunzip; numpy.savez_compressed packs the arrays within"
            )
        }
        let file = try InputFile(path: path)
        let entries = try Self.directory(file)
        let names = entries.map { $0.name.hasSuffix(".npy") ? String($0.name.dropLast(4)) : $0.name }
        let index = try Self.index(of: array, in: names, path)
        let entry = entries[index]
        let shown = Printable.escape(names[index])
        // Bits 0 and 6 say that the member is encrypted, bit 13 that the local header is masked.
        guard entry.flags & 0x2041 == 0 else {
            throw AnnexError(.badInput, "array '\(shown)' is encrypted", at: path, hint: "Save it with numpy.savez")
        }
        guard entry.method == 0 || entry.method == 8 else {
            throw AnnexError(
                .badInput,
                "array '\(shown)' is packed by method \(entry.method)",
                at: path,
                hint: "Save it with numpy.savez or savez_compressed"
            )
        }
        let local = try Self.bytes(file, entry.headerOffset, 30)
        guard local.starts(with: [0x50, 0x4b, 3, 4]) else { throw Self.damaged(path) }
        return try ByteStream(
            file,
            at: entry.headerOffset + 30 + Self.number(local, 26, 2) + Self.number(local, 28, 2),
            packedBytes: entry.packedBytes,
            deflated: entry.method == 8,
            crc: UInt(entry.crc)
        )
    }

    private static func index(of array: String?, in names: [String], _ path: String) throws(AnnexError) -> Int {
        let shown = names.prefix(20).map { Printable.escape($0) }.joined(separator: ", ")
        guard let array else {
            guard names.count == 1 else {
                throw AnnexError(
                    .badInput,
                    "has \(names.count) arrays",
                    at: path,
                    hint: "Name one, as in \(path):NAME, out of: \(shown)"
                )
            }
            return 0
        }
        guard let found = names.firstIndex(where: { $0.utf8.elementsEqual(array.utf8) }) else {
            throw AnnexError(.badInput, "has no array '\(Printable.escape(array))'", at: path, hint: "It has: \(shown)")
        }
        return found
    }

    private static func damaged(_ path: String) -> AnnexError {
        AnnexError(
            .badInput,
            "not a .npz file that can be read",
            at: path,
            hint: "It was cut or damaged, or numpy.savez did not write it: copy it again, or save it with numpy.savez"
        )
    }

    /// Reads a little-endian number of up to 8 bytes. Negative values cannot come out.
    private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> Int {
        guard offset + count <= bytes.count else { return Int.max }
        let value = bytes[offset..<offset + count].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Int(clamping: value)
    }

    private static func bytes(_ file: InputFile, _ offset: Int, _ count: Int) throws(AnnexError) -> [UInt8] {
        guard offset >= 0, count >= 0, count <= 64 << 20, offset <= (try file.size()) - count else {
            throw Self.damaged(file.path)
        }
        var out = [UInt8](repeating: 0, count: count)
        guard try file.read(count, at: offset, into: &out) == count else { throw Self.damaged(file.path) }
        return out
    }

    /// Reads the record at the end; where its numbers are too narrow, the one of ZIP64 that a locator in front of it
    /// names.
    private static func directory(_ file: InputFile) throws(AnnexError) -> [Entry] {
        let size = try file.size()
        let tail = try Self.bytes(file, max(0, size - 66_000), min(size, 66_000))
        let ends = tail.count >= 22 ? (0...(tail.count - 22)) : 0...0
        guard tail.count >= 22, let end = ends.last(where: { tail[$0...].starts(with: [0x50, 0x4b, 5, 6]) }) else {
            throw Self.damaged(file.path)
        }
        var count = Self.number(tail, end + 10, 2)
        var length = Self.number(tail, end + 12, 4)
        var offset = Self.number(tail, end + 16, 4)
        if count == 0xffff || length == 0xffff_ffff || offset == 0xffff_ffff {
            guard end >= 20, tail[(end - 20)...].starts(with: [0x50, 0x4b, 6, 7]) else { throw Self.damaged(file.path) }
            let wide = try Self.bytes(file, Self.number(tail, end - 12, 8), 56)
            guard wide.starts(with: [0x50, 0x4b, 6, 6]) else { throw Self.damaged(file.path) }
            count = Self.number(wide, 32, 8)
            length = Self.number(wide, 40, 8)
            offset = Self.number(wide, 48, 8)
        }
        // An entry has 46 bytes or more.
        guard count >= 1, count <= length / 46 else { throw Self.damaged(file.path) }
        return try Self.entries(try Self.bytes(file, offset, length), count, file.path)
    }

    private static func entries(_ bytes: [UInt8], _ count: Int, _ path: String) throws(AnnexError) -> [Entry] {
        var entries: [Entry] = []
        var position = 0
        for _ in 0..<count {
            guard bytes.count - position >= 46, bytes[position...].starts(with: [0x50, 0x4b, 1, 2]) else {
                throw Self.damaged(path)
            }
            let nameLength = Self.number(bytes, position + 28, 2)
            let extraLength = Self.number(bytes, position + 30, 2)
            let commentLength = Self.number(bytes, position + 32, 2)
            let next = position + 46 + nameLength + extraLength + commentLength
            guard next <= bytes.count else { throw Self.damaged(path) }
            var entry = Entry(
                name: String(decoding: bytes[position + 46..<position + 46 + nameLength], as: UTF8.self),
                flags: Self.number(bytes, position + 8, 2),
                method: Self.number(bytes, position + 10, 2),
                packedBytes: Self.number(bytes, position + 20, 4),
                headerOffset: Self.number(bytes, position + 42, 4),
                crc: Self.number(bytes, position + 16, 4)
            )
            let unpacked = Self.number(bytes, position + 24, 4)
            let extra = Array(bytes[position + 46 + nameLength..<position + 46 + nameLength + extraLength])
            Self.applyZip64(extra, unpackedIsWide: unpacked == 0xffff_ffff, &entry)
            guard entry.packedBytes < Int.max, entry.headerOffset < Int.max >> 1 else { throw Self.damaged(path) }
            entries.append(entry)
            position = next
        }
        return entries
    }

    /// Sizes that do not fit 32 bits stand in the extra field 0x0001, in a fixed order.
    private static func applyZip64(_ extra: [UInt8], unpackedIsWide: Bool, _ entry: inout Entry) {
        var position = 0
        while position + 4 <= extra.count {
            let length = Self.number(extra, position + 2, 2)
            if Self.number(extra, position, 2) == 1 {
                var field = position + 4 + (unpackedIsWide ? 8 : 0)
                if entry.packedBytes == 0xffff_ffff {
                    entry.packedBytes = Self.number(extra, field, 8)
                    field += 8
                }
                if entry.headerOffset == 0xffff_ffff { entry.headerOffset = Self.number(extra, field, 8) }
                return
            }
            position += 4 + length
        }
    }
}
