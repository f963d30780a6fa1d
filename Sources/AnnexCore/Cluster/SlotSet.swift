/// Holds some of the 16,384 slots, such as those that one shard owns. It is printed and parsed as `0-8191` or
/// `0-100,200,300-400`.
package struct SlotSet: Sendable, Equatable {
    package static let all = SlotSet([0...(Slot.count - 1)])

    /// Ranges ascend and never touch each other.
    package let ranges: [ClosedRange<Int>]
    private let bits: [UInt64]

    /// Takes ranges in any order, which may overlap; what is outside of 0 to 16,383 is left out.
    package init(_ ranges: [ClosedRange<Int>]) {
        var bits = [UInt64](repeating: 0, count: Slot.count / 64)
        for range in ranges {
            for slot in range.clamped(to: -1...Slot.count) where slot >= 0 && slot < Slot.count {
                bits[slot >> 6] |= 1 << UInt64(slot & 63)
            }
        }
        self.bits = bits
        var joined: [ClosedRange<Int>] = []
        var start: Int?
        for slot in 0...Slot.count {
            let isIn = slot < Slot.count && bits[slot >> 6] & (1 << UInt64(slot & 63)) != 0
            if isIn, start == nil { start = slot }
            if !isIn, let first = start {
                joined.append(first...(slot - 1))
                start = nil
            }
        }
        self.ranges = joined
    }

    /// Returns nil unless `text` is slots and ranges of slots with commas between them.
    package init?(parsing text: String) {
        var ranges: [ClosedRange<Int>] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Self.slot($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2, first <= last else {
                return nil
            }
            ranges.append(first...last)
        }
        self.init(ranges)
    }

    private static func slot(_ text: Substring) -> Int? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let slot: Int = PlainNumber.whole(text), slot < Slot.count
        else { return nil }
        return slot
    }

    /// Takes O(1) time.
    package func contains(_ slot: Int) -> Bool { self.bits[slot >> 6] & (1 << UInt64(slot & 63)) != 0 }

    package var count: Int { self.ranges.reduce(0) { $0 + $1.count } }

    /// Returns the slots that no set owns, and those that more than one does.
    package static func faults(of sets: [SlotSet]) -> (missing: SlotSet, twice: SlotSet) {
        var owners = [Int](repeating: 0, count: Slot.count)
        for set in sets { for range in set.ranges { for slot in range { owners[slot] += 1 } } }
        func those(_ wanted: (Int) -> Bool) -> SlotSet {
            SlotSet(owners.indices.filter { wanted(owners[$0]) }.map { $0...$0 })
        }
        return (those { $0 == 0 }, those { $0 > 1 })
    }
}

extension SlotSet: CustomStringConvertible {
    package var description: String {
        self.ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            .joined(separator: ",")
    }
}
