package import AnnexCore
import CLMDB

/// Names the tables of `items.lmdb`: `ids` (id → ordinal, 4 bytes big-endian, ascending with the ids) and `attributes`
/// (ordinal, 4 bytes big-endian → JSON text).
enum ItemSchema {
    static let ids = "ids"
    static let attributes = "attributes"

    static func key(_ ordinal: Int32) -> [UInt8] {
        let bits = UInt32(bitPattern: ordinal)
        return [
            UInt8(truncatingIfNeeded: bits >> 24), UInt8(truncatingIfNeeded: bits >> 16),
            UInt8(truncatingIfNeeded: bits >> 8), UInt8(truncatingIfNeeded: bits),
        ]
    }

    static func ordinal(_ bytes: UnsafeRawBufferPointer?) -> Int32? {
        guard let bytes = unsafe bytes, bytes.count == 4 else { return nil }
        let bits = unsafe UInt32(bytes[0]) << 24 | UInt32(bytes[1]) << 16 | UInt32(bytes[2]) << 8 | UInt32(bytes[3])
        return bits <= UInt32(Int32.max) ? Int32(bits) : nil
    }
}

/// Writes `items.lmdb`, in which items stand in byte order of their ids. One thread uses it.
///
/// Equal items give a file of equal bytes.
package final class ItemStoreWriter {
    private let file: VersionFileWriter
    private var pending: [(id: Identifier, attributes: [UInt8]?)] = []
    private var pendingBytes = 0
    private var written: Int32 = 0
    private var last: Identifier?
    private var identifierBytesLeft: Int

    /// Makes a new file.
    ///
    /// - Parameter identifierBytes: the most that all ids may have together. It is what a server can load, unless a test
    ///   asks for less.
    package init(path: String, identifierBytes: Int = Limits.maximumIdentifierBytes) throws(AnnexError) {
        self.file = try VersionFileWriter(path)
        self.identifierBytesLeft = identifierBytes
    }

    /// - Parameter attributes: JSON text, at most 16 MiB.
    /// - Throws: `.badInput` where `id` does not come behind the one before; `.limit` where all ids together are too long.
    package func append(_ id: Identifier, attributes: [UInt8]?) throws(AnnexError) {
        if let last, !(last < id) {
            throw AnnexError(.badInput, "item '\(id)' does not come behind '\(last)'", at: self.file.path)
        }
        guard id.bytes.count <= self.identifierBytesLeft else {
            throw AnnexError(
                .limit,
                "the ids of all items together take more than \(Limits.maximumIdentifierBytes) bytes",
                at: self.file.path,
                hint: "Use shorter ids: a server keeps all of them in memory"
            )
        }
        self.identifierBytesLeft -= id.bytes.count
        self.last = id
        self.pending.append((id, attributes))
        self.pendingBytes += id.bytes.count + (attributes?.count ?? 0) + 32
        if self.pendingBytes > 8 << 20 { try self.flush() }
    }

    /// Writes what is left and flushes to the disk.
    package func finish() throws(AnnexError) {
        try self.flush()
        try self.file.sync()
    }

    private func flush() throws(AnnexError) {
        let (items, first) = (self.pending, self.written)
        try self.file.write { transaction throws(LMDBFailure) in
            let ids = try transaction.makeTable(ItemSchema.ids)
            let attributes = try transaction.makeTable(ItemSchema.attributes)
            var ordinal = first
            for item in items {
                let key = ItemSchema.key(ordinal)
                try transaction.append(ids, item.id.bytes, key)
                if let json = item.attributes { try transaction.append(attributes, key, json) }
                ordinal += 1
            }
        }
        self.written += Int32(items.count)
        self.pending.removeAll(keepingCapacity: true)
        self.pendingBytes = 0
    }
}

/// Serves `items.lmdb` of a version, with its ids in memory as well. Any number of threads may use it at once.
package final class ItemStore: Sendable {
    package let count: Int
    /// Counts items that have attributes.
    package let attributesCount: Int
    private let file: VersionFile
    private let names: ItemNames

    /// Reads every id. O(items).
    ///
    /// - Throws: `.damaged` where ids are invalid, out of order or do not count from 0.
    package init(path: String) throws(AnnexError) {
        self.file = try VersionFile(path, tables: [ItemSchema.ids, ItemSchema.attributes])
        let snapshot = try self.file.makeSnapshot()
        let ids = self.file.table(ItemSchema.ids)
        let attributes = self.file.table(ItemSchema.attributes)
        let count = try snapshot.count(ids)
        guard (1...Limits.maximumItems).contains(count) else {
            throw AnnexError(.damaged, "has \(count) items", at: path, hint: LMDBFileKind.version.restore)
        }
        var arena: [UInt8] = []
        var starts: [UInt32] = [0]
        starts.reserveCapacity(count + 1)
        try unsafe snapshot.forEach(ids) { key, value throws(AnnexError) in
            guard unsafe ItemSchema.ordinal(value) == Int32(starts.count - 1), unsafe Identifier.isValid(key),
                arena.count + key.count <= Limits.maximumIdentifierBytes
            else {
                throw AnnexError(
                    .damaged,
                    "entry \(starts.count) is wrong",
                    at: path,
                    hint: LMDBFileKind.version.restore
                )
            }
            unsafe arena.append(contentsOf: key)
            starts.append(UInt32(arena.count))
            return true
        }
        self.names = ItemNames(arena: arena, starts: starts)
        self.count = starts.count - 1
        self.attributesCount = try snapshot.count(attributes)
    }

    /// Lends the id of an item. O(1).
    package func withIdentifier(_ ordinal: Int32, _ body: (Span<UInt8>) -> Void) {
        self.names.withIdentifier(ordinal, body)
    }

    /// Copies the id of an item.
    package func identifier(_ ordinal: Int32) -> [UInt8] {
        var bytes: [UInt8] = []
        self.withIdentifier(ordinal) { bytes = Array(copying: $0) }
        return bytes
    }

    /// Returns a reader for one thread.
    package func makeReader() throws(AnnexError) -> ItemReader {
        let snapshot = try self.file.makeSnapshot()
        return ItemReader(
            snapshot: snapshot,
            names: self.names,
            attributes: self.file.table(ItemSchema.attributes)
        )
    }

    /// Heap bytes held.
    package var memoryBytes: Int { self.names.memoryBytes }
}

/// Looks items up, for one thread at a time. Allocates nothing per call.
package final class ItemReader {
    private let snapshot: VersionSnapshot
    private let names: ItemNames
    private let attributes: MDB_dbi

    init(snapshot: VersionSnapshot, names: ItemNames, attributes: MDB_dbi) {
        self.snapshot = snapshot
        self.names = names
        self.attributes = attributes
    }

    /// Returns the ordinal of an id of any length; nil where it is unknown. O(bytes of the id).
    package func ordinal(of id: Span<UInt8>) -> Int32? {
        unsafe id.withUnsafeBytes { unsafe self.names.ordinal(of: $0) }
    }

    /// Lends the attributes' JSON text; nil where there are none. It is not generic, because a generic function is not
    /// specialised across modules.
    package func withAttributes(_ ordinal: Int32, _ body: (Span<UInt8>?) -> Void) {
        var bits = UInt32(bitPattern: ordinal).bigEndian
        unsafe withUnsafeBytes(of: &bits) { key in
            unsafe self.snapshot.withValue(self.attributes, key) { value in
                // The page stays as long as the snapshot does.
                if let value = unsafe value { unsafe body(Span(_unsafeBytes: value)) } else { body(nil) }
            }
        }
    }
}
