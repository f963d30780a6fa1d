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
    /// Lends the bytes of one argument to what throws.
    func withIdentifier<R>(
        _ index: Int,
        _ body: (UnsafeRawBufferPointer) throws(AnnexError) -> R
    ) throws(AnnexError) -> R {
        let result: Result<R, AnnexError> = self.withArgument(index) { id in
            do throws(AnnexError) { return .success(try body(id)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
