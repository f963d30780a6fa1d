import AnnexCore
import NIOCore

/// What a reply says of the replica that gave it: read off its first bytes.
enum ReplyKind {
    /// Errors that another replica, or the same one later, need not give.
    private static let codes: [(code: StaticString, outcome: Outcome)] = [
        ("-LOADING ", .unavailable), ("-MASTERDOWN ", .unavailable), ("-CLUSTERDOWN ", .unavailable),
        ("-OVERLOADED ", .overloaded), ("-MOVED ", .moved), ("-TIMEOUT ", .timedOut),
    ]

    /// The address of a `-MOVED slot host:port`.
    static func target(of reply: ByteBuffer) -> ClusterTopology.Address? {
        let line = String(
            decoding: reply.readableBytesView.prefix(300).prefix { $0 != UInt8(ascii: "\r") },
            as: UTF8.self
        )
        let words = line.split(separator: " ")
        return words.count == 3 ? ClusterTopology.Address(parsing: String(words[2])) : nil
    }

    static func outcome(of reply: ByteBuffer) -> Outcome {
        reply.withUnsafeReadableBytes { bytes in
            guard bytes.first == UInt8(ascii: "-") else { return .answered }
            for (code, outcome) in Self.codes
            where bytes.starts(with: UnsafeBufferPointer(start: code.utf8Start, count: code.utf8CodeUnitCount)) {
                return outcome
            }
            return .answered
        }
    }
}
