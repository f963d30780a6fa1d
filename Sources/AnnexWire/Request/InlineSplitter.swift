import NIOCore

/// Splits a plain line into words, by the rules of Redis's inline commands: blanks separate; `"…"` understands `\n \r
/// \t \b \a \\ \" \xNN`; `'…'` understands `\'`; a closing quote must be followed by a blank or the end.
enum InlineSplitter {
    private enum Quote { case none, single, double }

    /// Words go to `request`, whose bytes become a buffer of their own. False where quotes do not balance. O(length).
    static func split(_ line: ByteBuffer, into request: inout Request) -> Bool {
        var words = ByteBufferAllocator().buffer(capacity: line.readableBytes)
        let bytes = line.readableBytesView
        var position = bytes.startIndex
        while true {
            while position < bytes.endIndex, Self.isBlank(bytes[position]) { position += 1 }
            guard position < bytes.endIndex else { break }
            let start = words.writerIndex
            guard Self.word(bytes, &position, &words) else { return false }
            request.arguments.append(.init(offset: Int32(start), count: Int32(words.writerIndex - start)))
        }
        request.bytes = words
        return true
    }

    private static func word(_ bytes: ByteBufferView, _ position: inout Int, _ words: inout ByteBuffer) -> Bool {
        var quote = Quote.none
        while position < bytes.endIndex {
            let byte = bytes[position]
            switch (quote, byte) {
            case (.none, _) where Self.isBlank(byte): return true
            case (.none, UInt8(ascii: "\"")): quote = .double
            case (.none, UInt8(ascii: "'")): quote = .single
            case (.double, UInt8(ascii: "\\")):
                Self.escape(bytes, &position, &words)
            case (.single, UInt8(ascii: "\\")) where Self.at(bytes, position + 1) == UInt8(ascii: "'"):
                words.writeInteger(UInt8(ascii: "'"))
                position += 1
            case (.double, UInt8(ascii: "\"")), (.single, UInt8(ascii: "'")):
                position += 1
                guard let following = Self.at(bytes, position) else { return true }
                return Self.isBlank(following)
            default: words.writeInteger(byte)
            }
            position += 1
        }
        return quote == .none
    }

    /// Reads an escape that begins at a backslash within double quotes. It leaves `position` on the last byte of the
    /// escape.
    private static func escape(_ bytes: ByteBufferView, _ position: inout Int, _ words: inout ByteBuffer) {
        if Self.at(bytes, position + 1) == UInt8(ascii: "x"), let high = Self.digit(Self.at(bytes, position + 2)),
            let low = Self.digit(Self.at(bytes, position + 3))
        {
            words.writeInteger(high << 4 | low)
            position += 3
            return
        }
        guard let next = Self.at(bytes, position + 1) else {
            words.writeInteger(UInt8(ascii: "\\"))
            return
        }
        position += 1
        let meaning: UInt8 =
            switch next {
            case UInt8(ascii: "n"): 0x0a
            case UInt8(ascii: "r"): 0x0d
            case UInt8(ascii: "t"): 0x09
            case UInt8(ascii: "b"): 0x08
            case UInt8(ascii: "a"): 0x07
            default: next
            }
        words.writeInteger(meaning)
    }

    private static func at(_ bytes: ByteBufferView, _ index: Int) -> UInt8? {
        index < bytes.endIndex ? bytes[index] : nil
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) || byte == 0 }

    private static func digit(_ byte: UInt8?) -> UInt8? {
        switch byte {
        case .some(let b) where (0x30...0x39).contains(b): b - 0x30
        case .some(let b) where (0x61...0x66).contains(b): b - 0x57
        case .some(let b) where (0x41...0x46).contains(b): b - 0x37
        default: nil
        }
    }
}
