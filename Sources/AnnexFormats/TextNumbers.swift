/// Decimal numbers out of text, correctly rounded.
enum TextNumbers {
    /// Nil unless all of `bytes` (blanks around it aside) is one number. `nan`, `inf` and overflow give what they say:
    /// the caller refuses what is not finite.
    static func float(_ bytes: ArraySlice<UInt8>) -> Float? {
        let text = Self.trimmed(bytes)
        guard !text.isEmpty, text.count <= 64 else { return nil }
        return Float(Substring(decoding: text, as: UTF8.self))
    }

    static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var text = bytes
        while let first = text.first, first == 0x20 || first == 0x09 { text.removeFirst() }
        while let last = text.last, last == 0x20 || last == 0x09 || last == 0x0d { text.removeLast() }
        return text
    }
}
