/// Text from outside made fit for a reply, a log line or a terminal.
package enum Printable {
    /// Valid UTF-8 without control characters stays; every other byte becomes `\xNN`; at most `limit` bytes are shown.
    package static func escape(_ bytes: some Collection<UInt8>, limit: Int = 128) -> String {
        let head = Array(bytes.prefix(limit))
        var out = ""
        var rest = head[...]
        while !rest.isEmpty {
            var decoder = UTF8()
            var iterator = rest.makeIterator()
            let before = rest
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar)
            where scalar.value >= 0x20 && !(0x7f...0x9f).contains(scalar.value)
                && scalar.value != 0x2028 && scalar.value != 0x2029:
                out.unicodeScalars.append(scalar)
                rest = before.dropFirst(UTF8.width(scalar))
            default:
                let byte = before[before.startIndex]
                let digits = String(byte, radix: 16)
                out += "\\x" + (digits.count < 2 ? "0" : "") + digits
                rest = before.dropFirst()
            }
        }
        return bytes.count > limit ? out + "…" : out
    }

    package static func escape(_ text: String, limit: Int = 128) -> String { Self.escape(text.utf8, limit: limit) }
}
