import AnnexCore
import NIOCore

/// Tells from a reply's first bytes in which state its replica is.
enum ReplyKind {
    /// Lists how replies begin that another replica, or the same one later, need not give.
    private static let beginnings: [(bytes: [UInt8], outcome: Outcome)] = ErrorCode.allCases.compactMap { code in
        Self.outcome(of: code).map { (Array("-\(code.rawValue) ".utf8), $0) }
    }

    /// Returns nil where the error is the answer.
    private static func outcome(of code: ErrorCode) -> Outcome? {
        switch code {
        case .loading, .masterDown, .clusterDown: .unavailable
        case .overloaded: .overloaded
        case .moved: .moved
        case .timeout: .timedOut
        case .error, .noUser, .noItem, .noIndex, .badVector, .crossSlot, .noAuth, .wrongPassword, .noProtocol,
            .execAbort:
            nil
        }
    }

    /// Returns the address of a `-MOVED slot host:port`.
    static func target(of reply: ByteBuffer) -> ClusterTopology.Address? {
        let line = String(
            decoding: reply.readableBytesView.prefix(300).prefix { $0 != UInt8(ascii: "\r") },
            as: UTF8.self
        )
        let words = line.split(separator: " ")
        return words.count == 3 ? ClusterTopology.Address(parsing: String(words[2])) : nil
    }

    private static let unknownItem = Array("-\(ErrorCode.noItem.rawValue) ".utf8)

    static func isUnknownItem(_ reply: ByteBuffer) -> Bool {
        reply.withUnsafeReadableBytes { $0.starts(with: Self.unknownItem) }
    }

    static func outcome(of reply: ByteBuffer) -> Outcome {
        reply.withUnsafeReadableBytes { bytes in
            guard bytes.first == UInt8(ascii: "-") else { return .answered }
            return Self.beginnings.first { bytes.starts(with: $0.bytes) }?.outcome ?? .answered
        }
    }
}
