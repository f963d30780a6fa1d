import AnnexCore

/// Keeps the ids of all items in memory, both ways: an ordinal becomes an id, and an id an ordinal, without a
/// transaction.
///
/// Ids lie one behind the other. A table with open addressing and linear probing, at most two thirds full, finds them:
/// each slot holds 32 bits of the hash and the ordinal, so that a slot of another id is seldom followed. Any number of
/// threads may use it at once.
final class ItemNames: Sendable {
    private let arena: [UInt8]
    /// Holds the offset at which each id begins in `arena`, and that at which the last ends.
    private let starts: [UInt32]
    /// A slot is 0 where it is empty. Else the upper half has the upper half of the hash, and the lower half the
    /// ordinal plus 1.
    private let table: [UInt64]
    private let mask: Int

    /// Takes O(bytes of ids) time.
    ///
    /// - Parameters:
    ///   - arena: ids one behind the other, each once.
    ///   - starts: where each begins, and where the last ends.
    init(arena: [UInt8], starts: [UInt32]) {
        let count = starts.count - 1
        var slots = 16
        while slots * 2 < count * 3 { slots *= 2 }
        var table = [UInt64](repeating: 0, count: slots)
        let mask = slots - 1
        unsafe arena.withUnsafeBytes { bytes in
            for ordinal in 0..<count {
                let id = unsafe UnsafeRawBufferPointer(rebasing: bytes[Int(starts[ordinal])..<Int(starts[ordinal + 1])])
                let hash = unsafe Self.hash(id)
                var slot = Int(truncatingIfNeeded: hash) & mask
                while table[slot] != 0 { slot = (slot + 1) & mask }
                table[slot] = (hash & ~0xffff_ffff) | UInt64(ordinal + 1)
            }
        }
        self.arena = arena
        self.starts = starts
        self.table = table
        self.mask = mask
    }

    var count: Int { self.starts.count - 1 }

    /// Heap bytes held.
    var memoryBytes: Int { self.arena.capacity + self.starts.capacity * 4 + self.table.capacity * 8 }

    /// Lends the id of an item. O(1). It is not generic, because a generic function is not specialised across modules,
    /// and the call would cost more than the rest.
    func withIdentifier(_ ordinal: Int32, _ body: (Span<UInt8>) -> Void) {
        let begin = Int(self.starts[Int(ordinal)])
        let end = Int(self.starts[Int(ordinal) + 1])
        unsafe self.arena.withUnsafeBytes { ids in
            body(unsafe Span(_unsafeBytes: UnsafeRawBufferPointer(rebasing: ids[begin..<end])))
        }
    }

    /// Returns the ordinal of an id of any length; nil where it is unknown. O(bytes of the id).
    func ordinal(of id: UnsafeRawBufferPointer) -> Int32? {
        guard id.count <= Identifier.maximumLength else { return nil }
        let hash = unsafe Self.hash(id)
        var slot = Int(truncatingIfNeeded: hash) & self.mask
        while true {
            let entry = self.table[slot]
            if entry == 0 { return nil }
            if entry >> 32 == hash >> 32, unsafe self.isNamed(Int(entry & 0xffff_ffff) - 1, id) {
                return Int32(truncatingIfNeeded: entry & 0xffff_ffff) - 1
            }
            slot = (slot + 1) & self.mask
        }
    }

    private func isNamed(_ ordinal: Int, _ id: UnsafeRawBufferPointer) -> Bool {
        let begin = Int(self.starts[ordinal])
        guard Int(self.starts[ordinal + 1]) - begin == id.count else { return false }
        return unsafe self.arena.withUnsafeBytes { bytes in
            unsafe UnsafeRawBufferPointer(rebasing: bytes[begin..<begin + id.count]).elementsEqual(id)
        }
    }

    /// Multiplies and folds, eight bytes at a time. Items come from builds, not from clients, so nothing is to be feared
    /// of those who could choose them.
    private static func hash(_ id: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(truncatingIfNeeded: id.count) &* 0x9e37_79b9_7f4a_7c15
        var offset = 0
        while offset + 8 <= id.count {
            hash = unsafe Self.fold(hash ^ id.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset += 8
        }
        var rest: UInt64 = 0
        while offset < id.count {
            rest = unsafe rest << 8 | UInt64(id[offset])
            offset += 1
        }
        return Self.fold(hash ^ rest ^ 0xd6e8_feb8_6659_fd93)
    }

    @inline(__always)
    private static func fold(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xa076_1d64_78bd_642f)
        return product.high ^ product.low
    }
}
