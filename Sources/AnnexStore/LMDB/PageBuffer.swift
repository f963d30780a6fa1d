import Glibc

/// Holds one page of a file, as it was read. Every access is checked against the page's size.
@safe final class PageBuffer {
    /// Holds the largest page that LMDB has.
    static let capacity = 32_768

    private let bytes: UnsafeMutableRawBufferPointer

    init() {
        unsafe self.bytes = .allocate(byteCount: Self.capacity, alignment: 16)
        unsafe self.bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { unsafe self.bytes.deallocate() }

    /// Fills the first `count` bytes from an offset of a file; false where the file has fewer. Blocks.
    func read(_ descriptor: Int32, at start: Int, count: Int) -> Bool {
        precondition(count <= Self.capacity, "a page larger than any")
        var done = 0
        while done < count {
            let target = unsafe self.bytes.baseAddress.map { unsafe $0 + done }
            let more = unsafe pread(descriptor, target, count - done, start + done)
            if more < 0, errno == EINTR { continue }
            guard more > 0 else { return false }
            done += more
        }
        return true
    }

    /// Returns a little-endian number of 2 or 4 bytes.
    @inline(__always)
    func number(_ offset: Int, _ count: Int) -> Int {
        precondition(offset >= 0 && offset <= Self.capacity - 4, "outside the page")
        if count == 2 {
            return Int(UInt16(littleEndian: unsafe self.bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
        }
        return Int(UInt32(littleEndian: unsafe self.bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }

    @inline(__always)
    func long(_ offset: Int) -> UInt64 {
        precondition(offset >= 0 && offset <= Self.capacity - 8, "outside the page")
        return UInt64(littleEndian: unsafe self.bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// Tells whether the bytes of one range come before those of another, as LMDB orders them.
    func precedes(_ first: Range<Int>, _ second: Range<Int>) -> Bool {
        precondition(Self.holds(first) && Self.holds(second), "outside the page")
        return unsafe Self.precedes(
            UnsafeRawBufferPointer(rebasing: self.bytes[first]),
            UnsafeRawBufferPointer(rebasing: self.bytes[second])
        )
    }

    /// Tells whether bytes that were copied before come before those of a range.
    func precedes(_ first: [UInt8], _ second: Range<Int>) -> Bool {
        precondition(Self.holds(second), "outside the page")
        return unsafe first.withUnsafeBytes { first in
            unsafe Self.precedes(first, UnsafeRawBufferPointer(rebasing: self.bytes[second]))
        }
    }

    /// Tells whether the bytes of a range come before others that were copied before.
    func precedes(_ first: Range<Int>, _ second: [UInt8]) -> Bool {
        precondition(Self.holds(first), "outside the page")
        return unsafe second.withUnsafeBytes { second in
            unsafe Self.precedes(UnsafeRawBufferPointer(rebasing: self.bytes[first]), second)
        }
    }

    static func precedes(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> Bool {
        let count = min(first.count, second.count)
        guard count > 0, let left = first.baseAddress, let right = second.baseAddress else {
            return first.count < second.count
        }
        let order = unsafe memcmp(left, right, count)
        return order == 0 ? first.count < second.count : order < 0
    }

    /// Says where the first and the last key of a leaf lie in the page.
    struct Keys {
        var first: Range<Int>
        var last: Range<Int>
    }

    /// Returns the keys of a leaf in which each node lies within the page behind `upper`, has no flags, a key of 1 to 511 bytes and a
    /// value, and in which keys ascend; nil where it is not so. Most leaves are such, and this takes some nanoseconds a node.
    ///
    /// - Parameters:
    ///   - count: of nodes, at least 1; their offsets stand below `upper`.
    ///   - upper: at most `pageBytes`, which is at most `capacity`.
    ///   - hasValues: whether values may have bytes.
    func plainKeys(_ count: Int, behind upper: Int, pageBytes: Int, hasValues: Bool) -> Keys? {
        precondition(
            count >= 1 && PageCheck.header + 2 * count <= upper && upper <= pageBytes && pageBytes <= Self.capacity,
            "outside the page"
        )
        guard let page = unsafe self.bytes.baseAddress.map({ UnsafeRawPointer($0) }) else { return nil }
        func small(_ offset: Int) -> Int {
            Int(UInt16(littleEndian: unsafe page.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
        }
        var first = 0..<0
        var last = 0..<0
        for index in 0..<count {
            let node = small(PageCheck.header + 2 * index)
            guard node >= upper, node % 2 == 0, node + 8 <= pageBytes, small(node + 4) == 0 else { return nil }
            let key = node + 8..<node + 8 + small(node + 6)
            let bytes = small(node) | small(node + 2) << 16
            guard (1...511).contains(key.count), key.upperBound + bytes <= pageBytes, hasValues || bytes == 0 else {
                return nil
            }
            if index == 0 {
                first = key
            } else if unsafe !Self.precedes(page, last, key) {
                return nil
            }
            last = key
        }
        return Keys(first: first, last: last)
    }

    /// Compares two ranges within the page. Keys are mostly told apart by their first eight bytes.
    @inline(__always)
    private static func precedes(_ page: UnsafeRawPointer, _ first: Range<Int>, _ second: Range<Int>) -> Bool {
        if first.count >= 8, second.count >= 8 {
            let left = unsafe UInt64(bigEndian: page.loadUnaligned(fromByteOffset: first.lowerBound, as: UInt64.self))
            let right = unsafe UInt64(bigEndian: page.loadUnaligned(fromByteOffset: second.lowerBound, as: UInt64.self))
            if left != right { return left < right }
        }
        return unsafe Self.precedes(
            UnsafeRawBufferPointer(start: page + first.lowerBound, count: first.count),
            UnsafeRawBufferPointer(start: page + second.lowerBound, count: second.count)
        )
    }

    /// Copies a range of bytes.
    func copy(_ range: Range<Int>) -> [UInt8] {
        precondition(Self.holds(range), "outside the page")
        return unsafe Array(self.bytes[range])
    }

    private static func holds(_ range: Range<Int>) -> Bool { range.lowerBound >= 0 && range.upperBound <= capacity }
}
