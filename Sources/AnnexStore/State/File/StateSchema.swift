import AnnexCore
import CChecksum

/// Tables and records of `state.lmdb`, format 2. Keys are ids or hashes, never ordinals.
///
/// | table | key | value |
/// |---|---|---|
/// | `meta` | `format`; `store`; `tally` | UInt32; 16 random bytes; highest change counter UInt64, users with events UInt64 |
/// | `meta` | `log/00` … `log/15`, missing without a log | up to where the block's stream is applied: milliseconds UInt64, sequence UInt64, entries UInt64 |
/// | `meta` | `log/id`, missing until the first log | which log the positions are of, 32 hexadecimal digits |
/// | `meta` | `log/slots`, missing until the first log | whose changes are applied, as text: `0-8191` |
/// | `meta` | `clock`, missing until the first stamp | the highest stamp given out, a time |
/// | `events`, sorted duplicates | user id | time, item's length UInt8, item, weight Float64 |
/// | `removed`, sorted duplicates | user id | item's length UInt8, item, time |
/// | `items`, sorted duplicates | user id | item's length UInt8, item, time of one of the user's events with the item |
/// | `forgotten` | 16 bytes of the id's SHA-256 | time |
/// | `users` | user id | change counter UInt64, counter of the last rewriting UInt64, events UInt32, newest time (lowest without events) |
///
/// Numbers are little-endian, except for times: they are big-endian with the sign flipped, so that bytes sort by time.
/// Every value ends with the CRC-32 of its key and of what stands before in the value, except in `items`: that table is
/// an index of `events`, for users with more than `StateSettings.walkLimit` of them, and is compared with them.
///
/// Format 1 has no table `items` and no row `clock`. `StateFile.open` makes both when it opens such a file, in one
/// transaction; `RecordCheck` then fills the table while the file is served. Programs that know format 1 only refuse
/// the file from then on.
enum StateSchema {
    static let format: UInt32 = 2
    /// Holds the oldest format that is still read.
    static let oldestFormat: UInt32 = 1
    static let hashBytes = 16
    static let storeIDBytes = 16
    static let checksumBytes = 4

    static let meta = "meta"
    static let events = "events"
    static let removed = "removed"
    static let items = "items"
    static let forgotten = "forgotten"
    static let users = "users"

    static let formatKey = Array("format".utf8)
    static let storeKey = Array("store".utf8)
    static let tallyKey = Array("tally".utf8)
    static let clockKey = Array("clock".utf8)
    /// Holds the keys of table `meta` with the positions of the log, by block.
    static let logKeys = (0..<Slot.blockCount).map { Array("log/\($0 < 10 ? "0" : "")\($0)".utf8) }

    static let logIDKey = Array("log/id".utf8)
    static let logSlotsKey = Array("log/slots".utf8)

    // MARK: Writing

    /// Appends a time as bytes that sort as times do.
    static func append(time: Int64, to value: inout [UInt8]) {
        let bits = UInt64(bitPattern: time) ^ (1 << 63)
        for shift in stride(from: 56, through: 0, by: -8) {
            value.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
        }
    }

    static func append<T: FixedWidthInteger & UnsignedInteger>(_ number: T, to value: inout [UInt8]) {
        for shift in stride(from: 0, to: T.bitWidth, by: 8) {
            value.append(UInt8(truncatingIfNeeded: number >> T(shift)))
        }
    }

    /// Returns the first bytes of every record of an event with an item at a time.
    static func eventPrefix(_ item: Identifier, _ time: Int64) -> [UInt8] {
        var value: [UInt8] = []
        value.reserveCapacity(21 + item.bytes.count)
        Self.append(time: time, to: &value)
        value.append(UInt8(item.bytes.count))
        value.append(contentsOf: item.bytes)
        return value
    }

    /// Returns the first bytes of an item's tombstone.
    static func tombstonePrefix(_ item: Identifier) -> [UInt8] { [UInt8(item.bytes.count)] + item.bytes }

    /// Returns the index's entry of an event: as many bytes more than `tombstonePrefix` as a time has.
    static func indexEntry(_ item: Identifier, _ time: Int64) -> [UInt8] {
        var entry = Self.tombstonePrefix(item)
        Self.append(time: time, to: &entry)
        return entry
    }

    /// Returns the index's entry of a record of `events`, whose checksum may be wrong; nil where it names no item.
    static func indexEntry(of record: UnsafeRawBufferPointer) -> [UInt8]? {
        guard record.count >= 9, unsafe record.count >= 9 + Int(record[8]) else { return nil }
        return unsafe Array(record[8..<(9 + Int(record[8]))]) + Array(record[..<8])
    }

    /// Ends a value.
    static func seal(_ value: inout [UInt8], key: [UInt8]) {
        let checksum = unsafe key.withUnsafeBytes { key in
            unsafe value.withUnsafeBytes { unsafe Self.checksum(key, $0) }
        }
        Self.append(checksum, to: &value)
    }

    static func clockRow(_ time: Int64) -> [UInt8] {
        var row: [UInt8] = []
        Self.append(time: time, to: &row)
        Self.seal(&row, key: Self.clockKey)
        return row
    }

    // MARK: Reading

    /// Returns nil where the row is damaged.
    static func clock(_ row: UnsafeRawBufferPointer) -> Int64? {
        let content = unsafe Self.clockKey.withUnsafeBytes { unsafe Self.unseal(row, key: $0) }
        guard let content = unsafe content, content.count == 8 else { return nil }
        return unsafe Self.time(content, at: 0)
    }

    /// Returns the content of a row of `meta`; nil where it is damaged.
    static func row(_ value: UnsafeRawBufferPointer, key: [UInt8]) -> [UInt8]? {
        unsafe key.withUnsafeBytes { unsafe Self.unseal(value, key: $0).map { unsafe Array($0) } }
    }

    private static func checksum(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> UInt32 {
        let first = unsafe CChecksum_crc32(0, key.baseAddress, UInt32(truncatingIfNeeded: key.count))
        return unsafe CChecksum_crc32(first, value.baseAddress, UInt32(truncatingIfNeeded: value.count))
    }

    /// Returns the value without its checksum; nil where that is wrong.
    static func unseal(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard value.count >= Self.checksumBytes else { return nil }
        let content = unsafe UnsafeRawBufferPointer(rebasing: value[..<(value.count - Self.checksumBytes)])
        let stored = unsafe value.loadUnaligned(fromByteOffset: content.count, as: UInt32.self)
        return unsafe Self.checksum(key, content) == UInt32(littleEndian: stored) ? content : nil
    }

    /// The caller has compared the offset with the length.
    static func time(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int64 {
        let bits = unsafe UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        return Int64(bitPattern: bits ^ (1 << 63))
    }

    /// The caller has compared the offset with the length.
    static func long(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}
