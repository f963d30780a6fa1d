/// Holds one item of a trained history and the weight of all its interactions. An ordinal means something in its
/// version only.
package struct HistoryEntry: Sendable, Equatable {
    package var ordinal: Int32
    package var weight: Float

    package init(ordinal: Int32, weight: Float) {
        self.ordinal = ordinal
        self.weight = weight
    }
}

/// Reads a trained history as it lies in the file: entries of 8 bytes, ordinal as uint32 and weight as float32,
/// little-endian, ordinals ascending. It is lent, and must not be kept beyond the closure that got it.
@safe package struct HistoryView {
    static let entryBytes = 8

    /// Holds whole entries.
    let bytes: UnsafeRawBufferPointer

    /// Returns nil where `bytes` are no whole entries.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count.isMultiple(of: Self.entryBytes) else { return nil }
        unsafe self.bytes = bytes
    }

    package var count: Int { unsafe self.bytes.count / Self.entryBytes }

    /// - Parameter index: 0 ..< `count`.
    package func ordinal(_ index: Int) -> Int32 { Int32(bitPattern: self.word(index * Self.entryBytes)) }

    /// - Parameter index: 0 ..< `count`.
    package func weight(_ index: Int) -> Float { Float(bitPattern: self.word(index * Self.entryBytes + 4)) }

    /// Tells whether an item is in it. O(log count).
    package func has(_ ordinal: Int32) -> Bool {
        var (low, high) = (0, self.count)
        while low < high {
            let middle = (low + high) / 2
            if self.ordinal(middle) < ordinal { low = middle + 1 } else { high = middle }
        }
        return low < self.count && self.ordinal(low) == ordinal
    }

    private func word(_ offset: Int) -> UInt32 {
        // The buffer checks the index, in release builds too.
        precondition(unsafe offset >= 0 && offset <= self.bytes.count - 4, "index out of range")
        return unsafe UInt32(littleEndian: self.bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    /// Tells whether there are entries, ordinals ascend and stay below `itemCount`, and weights are finite. O(count).
    func isSound(itemCount: Int) -> Bool {
        var last: Int32 = -1
        for index in 0..<self.count {
            let ordinal = self.ordinal(index)
            guard ordinal > last, Int(ordinal) < itemCount, self.weight(index).isFinite else { return false }
            last = ordinal
        }
        return self.count > 0
    }

    static func pack(_ entries: some Collection<HistoryEntry>) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count * Self.entryBytes)
        for entry in entries {
            for word in [UInt32(bitPattern: entry.ordinal), entry.weight.bitPattern] {
                for shift in stride(from: UInt32(0), to: 32, by: 8) {
                    bytes.append(UInt8(truncatingIfNeeded: word >> shift))
                }
            }
        }
        return bytes
    }
}
