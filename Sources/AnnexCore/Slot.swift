/// The slot of a key, exactly as in Redis Cluster: CRC16 (XMODEM) mod 16,384, over the hash tag where there is one.
package enum Slot {
    package static let count = 16_384
    /// A version stores its users in 16 files, one per 1,024 slots.
    package static let blockCount = 16

    private static let table: [UInt16] = (0..<256).map { index in
        (0..<8).reduce(UInt16(index) << 8) { crc, _ in crc & 0x8000 != 0 ? (crc << 1) ^ 0x1021 : crc << 1 }
    }

    /// O(length of the key).
    package static func of(_ key: some BidirectionalCollection<UInt8>) -> Int {
        var crc: UInt16 = 0
        func add(_ bytes: some Collection<UInt8>) {
            for byte in bytes { crc = (crc << 8) ^ Self.table[Int(UInt8(crc >> 8) ^ byte)] }
        }
        if let open = key.firstIndex(of: UInt8(ascii: "{")) {
            let inside = key[key.index(after: open)...]
            if let close = inside.firstIndex(of: UInt8(ascii: "}")), close != inside.startIndex {
                add(inside[..<close])
                return Int(crc) & (Self.count - 1)
            }
        }
        add(key)
        return Int(crc) & (Self.count - 1)
    }

    /// The users file that holds a slot: 0 to 15.
    package static func block(of slot: Int) -> Int { slot >> 10 }
}
