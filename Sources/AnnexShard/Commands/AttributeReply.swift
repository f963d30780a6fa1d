import AnnexCore
import AnnexEngine
import AnnexWire

/// Writes an item's attributes, as a part of a reply.
enum AttributeReply {
    /// Writes the JSON text, or null.
    static func write(_ ordinal: Int32, _ context: QueryContext, _ reply: inout ReplyWriter) {
        context.withAttributes(ordinal) { json in
            if let json { reply.bulk(json) } else { reply.null() }
        }
    }
}

extension Request {
    /// Lends the bytes of one argument.
    func withIdentifier<R, Failure>(
        _ index: Int,
        _ body: (Span<UInt8>) throws(Failure) -> R
    ) throws(Failure) -> R {
        try self.withArgument(index) { bytes throws(Failure) in try body(Span(_unsafeBytes: bytes)) }
    }
}

extension ReplyWriter {
    /// Writes lent bytes as a bulk string.
    mutating func bulk(_ bytes: Span<UInt8>) { bytes.withUnsafeBytes { self.bulk($0) } }
}
