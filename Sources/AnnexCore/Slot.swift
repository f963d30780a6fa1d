/// Computes the slot of a key, exactly as in Redis Cluster: CRC16 (XMODEM) mod 16,384, over the hash tag where there is
/// one.
package enum Slot {
    package static let count = 16_384
    /// A version stores its users in 16 files, one per 1,024 slots.
    package static let blockCount = 16

    /// Element 256 × n + b is the CRC of byte b with n zeros behind it.
    private static let table: [UInt16] = {
        var table = (0..<256).map { index in
            (0..<8).reduce(UInt16(index) << 8) { crc, _ in crc & 0x8000 != 0 ? (crc << 1) ^ 0x1021 : crc << 1 }
        }
        for index in 256..<256 * 8 {
            let crc = table[index - 256]
            table.append((crc << 8) ^ table[Int(crc >> 8)])
        }
        return table
    }()

    /// Takes O(length of the key) time, some half a nanosecond a byte: eight are looked up at a time, as a client's key may have a
    /// megabyte. Allocates nothing.
    package static func of(_ key: UnsafeRawBufferPointer) -> Int {
        let hashed = Self.tag(of: key)
        return Self.table.withUnsafeBufferPointer { table in
            var crc: UInt16 = 0
            var index = hashed.lowerBound
            while index + 8 <= hashed.upperBound {
                var next = table[256 * 7 + Int(key[index] ^ UInt8(crc >> 8))]
                next ^= table[256 * 6 + Int(key[index + 1] ^ UInt8(crc & 0xff))]
                for later in 2..<8 { next ^= table[256 * (7 - later) + Int(key[index + later])] }
                crc = next
                index += 8
            }
            while index < hashed.upperBound {
                crc = (crc << 8) ^ table[Int(UInt8(crc >> 8) ^ key[index])]
                index += 1
            }
            return Int(crc) & (Self.count - 1)
        }
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
