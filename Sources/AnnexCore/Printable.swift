/// Text from outside made fit for a reply, a log line or a terminal.
package enum Printable {
    /// Valid UTF-8 stays, without characters that a reader does not see; every other byte becomes `\xNN`; at most `limit` bytes
    /// are shown.
    package static func escape(_ bytes: some Collection<UInt8>, limit: Int = 128) -> String {
        let head = Array(bytes.prefix(limit))
        var out = ""
        var rest = head[...]
        while !rest.isEmpty {
            var decoder = UTF8()
            var iterator = rest.makeIterator()
            let before = rest
            switch decoder.decode(&iterator) {
            case .scalarValue(let scalar) where Self.isVisible(scalar):
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

    /// Whether a character shows itself, and does nothing to how others are shown: a right-to-left override turns the rest of a line
    /// around, and a zero-width space makes two names look like one.
    private static func isVisible(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }

    /// Writes three digits and a power of ten: `1e15`, `3.67e-20`.
    package static func scientific(_ value: Double) -> String {
        guard value.isFinite, value != 0 else { return "\(value)" }
        var (digits, exponent) = (abs(value), 0)
        while digits >= 9.995 { (digits, exponent) = (digits / 10, exponent + 1) }
        while digits < 0.9995 { (digits, exponent) = (digits * 10, exponent - 1) }
        digits = (digits * 100).rounded() / 100
        let shown = digits == digits.rounded() ? "\(Int(digits))" : "\(digits)"
        return (value < 0 ? "-" : "") + shown + "e\(exponent)"
    }

    package static func escape(_ text: String, limit: Int = 128) -> String { Self.escape(text.utf8, limit: limit) }
}
