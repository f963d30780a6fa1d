import AnnexCore

/// Tells whether bytes of a file are an id.
enum IdentifierCheck {
    /// Returns the fault of an id; nil where there is none.
    ///
    /// A control byte in a text or binary file is a sign of a reader out of step, of another encoding or of a second column.
    ///
    /// - Parameter isEscaped: whether a control byte can only be there because somebody wrote it out, as in JSON.
    static func problem(_ bytes: [UInt8], isEscaped: Bool = false) -> String? {
        if bytes.isEmpty { return "the id is empty" }
        if bytes.count > Identifier.maximumLength {
            return "the id has \(bytes.count) bytes, at most \(Identifier.maximumLength) are possible"
        }
        guard Identifier.isValid(bytes) else { return "the id is not valid UTF-8" }
        guard !isEscaped, let control = bytes.first(where: { $0 < 0x20 || $0 == 0x7f }) else { return nil }
        let digits = String(control, radix: 16)
        return
            "the id '\(Printable.escape(bytes, limit: 40))' holds the control byte 0x\(digits.count < 2 ? "0" : "")\(digits)"
    }
}
