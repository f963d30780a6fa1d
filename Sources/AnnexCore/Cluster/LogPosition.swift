/// Holds the position of an entry in one stream of the log, as Redis numbers them: milliseconds, then a count within
/// one.
package struct LogPosition: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Holds the position before the first entry.
    package static let start = LogPosition(milliseconds: 0, sequence: 0)

    package let milliseconds: UInt64
    package let sequence: UInt64

    package init(milliseconds: UInt64, sequence: UInt64) {
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    /// Returns nil unless `text` is `digits-digits`, both of which fit.
    package init?(_ text: some Sequence<UInt8>) {
        let parts = Array(text).split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard parts.count == 2, let first = Self.number(parts[0]), let second = Self.number(parts[1]) else {
            return nil
        }
        self.init(milliseconds: first, sequence: second)
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        guard (1...20).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt64(String(decoding: digits, as: UTF8.self))
    }

    package static func < (a: LogPosition, b: LogPosition) -> Bool {
        (a.milliseconds, a.sequence) < (b.milliseconds, b.sequence)
    }

    package var description: String { "\(self.milliseconds)-\(self.sequence)" }
}

/// Says how far somebody has come in one stream: the position, and how many entries there were up to it.
package struct LogMark: Sendable, Hashable {
    package static let start = LogMark(position: .start, count: 0)

    package var position: LogPosition
    package var count: UInt64

    package init(position: LogPosition, count: UInt64) {
        self.position = position
        self.count = count
    }
}

/// Tells a log from all others by 128 random bits that lie beside the streams of an index. So no position is taken for
/// one of another log, whatever its numbers are.
package struct LogIdentity: Sendable, Hashable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    package init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

    /// Returns nil unless `text` is 32 hexadecimal digits, as `description` gives them.
    package init?(_ text: some Sequence<UInt8>) {
        let digits = Array(text)
        guard digits.count == 32, digits.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }),
            let high = UInt64(String(decoding: digits[..<16], as: UTF8.self), radix: 16),
            let low = UInt64(String(decoding: digits[16...], as: UTF8.self), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    package var description: String {
        [self.high, self.low].map { half in
            let digits = String(half, radix: 16)
            return String(repeating: "0", count: 16 - digits.utf8.count) + digits
        }.joined()
    }
}

/// Names a position in the log of an index, as clients carry it about: `NAME:07:1700000000000-3:` and the log's id. To
/// clients it is opaque.
package struct PositionToken: Sendable, Hashable, CustomStringConvertible {
    package let index: EntryName
    /// The number of the block, 0 to 15.
    package let block: Int
    package let position: LogPosition
    /// It is nil in what programs gave out that knew no such id.
    package let log: LogIdentity?

    package init(index: EntryName, block: Int, position: LogPosition, log: LogIdentity?) {
        self.index = index
        self.block = block
        self.position = position
        self.log = log
    }

    /// More than `description` ever has.
    private static let maximumBytes = 256

    /// Returns nil unless `text` is what `description` gives.
    package init?(_ text: some Collection<UInt8>) {
        guard text.count <= Self.maximumBytes else { return nil }
        // Names hold no colon.
        let parts = Array(text).split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 3 || parts.count == 4, let index = EntryName(String(decoding: parts[0], as: UTF8.self)),
            parts[1].count == 2, parts[1].allSatisfy({ (0x30...0x39).contains($0) }),
            let block = Int(String(decoding: parts[1], as: UTF8.self)), block < Slot.blockCount,
            let position = LogPosition(parts[2])
        else { return nil }
        let log = parts.count == 4 ? LogIdentity(parts[3]) : nil
        guard parts.count == 3 || log != nil else { return nil }
        self.init(index: index, block: block, position: position, log: log)
    }

    package var description: String {
        "\(self.index):\(self.block < 10 ? "0" : "")\(self.block):\(self.position)"
            + (self.log.map { ":\($0)" } ?? "")
    }
}
