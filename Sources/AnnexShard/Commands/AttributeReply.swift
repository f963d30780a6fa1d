import AnnexCore
import AnnexEngine
import AnnexWire

/// An item's attributes, as a part of a reply.
enum AttributeReply {
    /// The JSON text, or null.
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
    /// A bulk string of lent bytes.
    mutating func bulk(_ bytes: Span<UInt8>) { bytes.withUnsafeBytes { self.bulk($0) } }
}
