import AnnexCore

/// Reads decimal numbers out of text, correctly rounded.
enum TextNumbers {
    /// Says what a field is. `nan`, `inf`, `infinity` and hexadecimal floats are words of other programs for numbers: a
    /// field with one is no heading, and no value either.
    enum Field {
        /// The number is infinite where it is beyond float32: the caller refuses that.
        case number(Float)
        case otherNotation
        case text
    }

    /// Blanks around the number do not count; its length has no bound.
    static func field(_ bytes: ArraySlice<UInt8>) -> Field {
        let text = Self.trimmed(bytes)
        if let number = DecimalNumber(text.span) {
            return (number.float ?? Float(Substring(decoding: text, as: UTF8.self))).map(Field.number) ?? .text
        }
        // Longer text is none of these words.
        guard text.count <= 64, Double(Substring(decoding: text, as: UTF8.self)) != nil else { return .text }
        return .otherNotation
    }

    /// Returns the value, or what is wrong with the field.
    static func float(_ bytes: ArraySlice<UInt8>) -> Result<Float, Problem> {
        switch Self.field(bytes) {
        case .number(let value): return .success(value)
        case .otherNotation: return .failure(Problem(bytes, "is no decimal number that is finite"))
        case .text: return .failure(Problem(bytes, "is no number"))
        }
    }

    struct Problem: Error {
        let reason: String

        init(_ field: ArraySlice<UInt8>, _ what: String) {
            self.reason = "'\(Printable.escape(TextNumbers.trimmed(field), limit: 40))' \(what)"
        }
    }

    static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var text = bytes
        while let first = text.first, first == 0x20 || first == 0x09 { text.removeFirst() }
        while let last = text.last, last == 0x20 || last == 0x09 || last == 0x0d { text.removeLast() }
        return text
    }
}
