/// Computes the slot of a key, exactly as in Redis Cluster: CRC16 (XMODEM) mod 16,384, over the hash tag where there is
/// one.
package enum Slot {
    package static let count = 16_384
    /// A version stores its users in 16 files, one per 1,024 slots.
    package static let blockCount = 16

    private static let table: [UInt16] = (0..<256).map { index in
        (0..<8).reduce(UInt16(index) << 8) { crc, _ in crc & 0x8000 != 0 ? (crc << 1) ^ 0x1021 : crc << 1 }
    }

    /// Takes O(length of the key) time. Allocates nothing.
    package static func of(_ key: UnsafeRawBufferPointer) -> Int {
        let hashed = Self.tag(of: key)
        var crc: UInt16 = 0
        for index in hashed { crc = (crc << 8) ^ Self.table[Int(UInt8(crc >> 8) ^ key[index])] }
        return Int(crc) & (Self.count - 1)
    }

    package static func of(_ key: [UInt8]) -> Int { key.withUnsafeBytes { Self.of($0) } }

    /// Returns the part of the key that is hashed: the bytes between the first `{` and the next `}`, if there are any;
    /// else all of it.
    private static func tag(of key: UnsafeRawBufferPointer) -> Range<Int> {
        var open = 0
        while open < key.count, key[open] != UInt8(ascii: "{") { open += 1 }
        guard open < key.count else { return 0..<key.count }
        var close = open + 1
        while close < key.count, key[close] != UInt8(ascii: "}") { close += 1 }
        return close < key.count && close > open + 1 ? open + 1..<close : 0..<key.count
    }

    /// Returns the users file that holds a slot: 0 to 15.
    package static func block(of slot: Int) -> Int { slot >> 10 }
}
