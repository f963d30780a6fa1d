import Glibc
import NIOCore
import Synchronization

/// Limits how often an address may guess the password. Each has a token bucket, which is looked at before anything is
/// hashed. Any thread may use it.
///
/// IPv6 addresses count by their first 64 bits, which one client has to itself. A bounded number of addresses is
/// remembered: where there are more, the one that failed least recently is forgotten.
package final class PasswordGuesses: Sendable {
    /// Failed tries in a row that cost nothing.
    package static let burst = 60.0
    /// Failed tries that come back each second.
    static let perSecond = 1.0
    private static let mostAddresses = 4_096
    /// The log gets a line for each address at most so often, which tells how many failed since the last.
    private static let quietNanoseconds: UInt64 = 10_000_000_000

    private struct Bucket {
        var tokens = PasswordGuesses.burst
        /// Says when the bucket was last filled, as uptime in nanoseconds.
        var updated: UInt64
        var unreported = 0
        var reported: UInt64 = 0
    }

    private let buckets = Mutex<[String: Bucket]>([:])

    package init() {}

    package enum Verdict: Equatable {
        case allowed
        /// Too many failed; the next try counts after so many seconds.
        case refused(seconds: Int)
    }

    /// Tells whether a try from `address` is looked at now.
    ///
    /// - Parameter now: uptime in nanoseconds.
    package func look(_ address: String, now: UInt64) -> Verdict {
        self.buckets.withLock { buckets in
            guard let bucket = buckets[Self.key(address)] else { return .allowed }
            let tokens = Self.tokens(of: bucket, now)
            return tokens >= 1 ? .allowed : .refused(seconds: max(1, Int(((1 - tokens) / Self.perSecond).rounded(.up))))
        }
    }

    /// Counts a failed try. Returns how many failed since the last line of the log where it is time for one; nil else.
    package func failed(_ address: String, now: UInt64) -> Int? {
        let key = Self.key(address)
        return self.buckets.withLock { buckets in
            if buckets[key] == nil, buckets.count >= Self.mostAddresses,
                let oldest = buckets.min(by: { $0.value.updated < $1.value.updated })
            {
                buckets[oldest.key] = nil
            }
            var bucket = buckets[key] ?? Bucket(updated: now)
            bucket.tokens = Self.tokens(of: bucket, now) - 1
            bucket.updated = now
            bucket.unreported += 1
            defer { buckets[key] = bucket }
            guard bucket.reported == 0 || now - bucket.reported >= Self.quietNanoseconds else { return nil }
            defer {
                bucket.reported = now
                bucket.unreported = 0
            }
            return bucket.unreported
        }
    }

    private static func tokens(of bucket: Bucket, _ now: UInt64) -> Double {
        let seconds = Double(now &- bucket.updated) / 1e9
        return min(Self.burst, bucket.tokens + seconds * Self.perSecond)
    }

    /// Returns the host of `host:port`; of IPv6 the first 64 bits.
    package static func key(_ address: String) -> String {
        let host = address.split(separator: ":").dropLast().joined(separator: ":")
        guard address.hasPrefix("["), let end = address.firstIndex(of: "]") else { return host }
        var bytes: [UInt8] = Array(repeating: 0, count: 16)
        let text = String(address[address.index(after: address.startIndex)..<end])
        guard inet_pton(AF_INET6, text, &bytes) == 1 else { return host }
        return bytes.prefix(8).map { String($0, radix: 16) }.joined(separator: ".")
    }
}
