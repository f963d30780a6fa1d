package import AnnexCore
import CLMDB
import Foundation

/// Names the tables of `users/00.lmdb` … `15.lmdb`: `factors`, user id → float32 × dimension, little-endian; in
/// versions with histories also `histories`, user id → what `HistoryView` reads. A user lies in the file of its slot's
/// block, so that a shard needs only its own, and may stand in either table without the other.
enum UserSchema {
    static let factors = "factors"
    static let histories = "histories"

    static func file(_ block: Int) -> String { (block < 10 ? "0" : "") + "\(block).lmdb" }
}

/// Writes the 16 users files; users come in byte order of their ids. One thread uses it. The same users give the same
/// bytes.
package final class UserStoreWriter {
    private struct Pending {
        var id: Identifier
        var vector: [UInt8]?
        var history: [UInt8]?
    }

    private let dimension: Int
    private let withHistories: Bool
    private let files: [VersionFileWriter]
    private var pending: [[Pending]]
    private var pendingBytes = 0
    private var last: Identifier?

    /// Makes the folder and 16 new files.
    ///
    /// - Parameter withHistories: whether there is a table for them.
    package init(folder: String, dimension: Int, withHistories: Bool = false) throws(AnnexError) {
        self.dimension = dimension
        self.withHistories = withHistories
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw AnnexError(.system, "cannot make the folder: \(error.localizedDescription)", at: folder)
        }
        var files: [VersionFileWriter] = []
        for block in 0..<Slot.blockCount {
            files.append(try VersionFileWriter(folder + "/" + UserSchema.file(block)))
        }
        self.files = files
        self.pending = Array(repeating: [], count: Slot.blockCount)
        for block in 0..<Slot.blockCount { try self.flush(block) }
    }

    /// - Parameter vector: `dimension` floats.
    package func append(_ id: Identifier, vector: Span<Float>) throws(AnnexError) {
        try self.append(id, vector: vector, history: [HistoryEntry]())
    }

    /// - Parameters:
    ///   - vector: `dimension` floats; nil for a user without one.
    ///   - history: ordinals ascending; empty for a user without one.
    package func append(
        _ id: Identifier,
        vector: Span<Float>?,
        history: some Collection<HistoryEntry>
    ) throws(AnnexError) {
        var bytes: [UInt8]?
        if let vector {
            precondition(vector.count == self.dimension, "unchecked dimension")
            bytes = unsafe vector.withUnsafeBytes { unsafe Array($0) }
        }
        precondition(self.withHistories || history.isEmpty, "a history, and no table for it")
        if let last, !(last < id) { throw AnnexError(.badInput, "user '\(id)' does not come behind '\(last)'") }
        self.last = id
        let block = Slot.block(of: Slot.of(id.bytes))
        self.pending[block].append(
            Pending(
                id: id,
                vector: bytes,
                history: history.isEmpty ? nil : HistoryView.pack(history)
            )
        )
        self.pendingBytes += id.bytes.count + self.dimension * 4 + history.count * HistoryView.entryBytes + 64
        if self.pendingBytes > 32 << 20 {
            for block in 0..<Slot.blockCount { try self.flush(block) }
            self.pendingBytes = 0
        }
    }

    /// Writes what is left and flushes to the disk.
    package func finish() throws(AnnexError) {
        for block in 0..<Slot.blockCount {
            try self.flush(block)
            try self.files[block].sync()
        }
    }

    private func flush(_ block: Int) throws(AnnexError) {
        let users = self.pending[block]
        try self.files[block].write { transaction throws(LMDBFailure) in
            let factors = try transaction.makeTable(UserSchema.factors)
            for user in users {
                guard let vector = user.vector else { continue }
                try transaction.append(factors, user.id.bytes, vector)
            }
            guard self.withHistories else { return }
            let histories = try transaction.makeTable(UserSchema.histories)
            for user in users {
                guard let history = user.history else { continue }
                try transaction.append(histories, user.id.bytes, history)
            }
        }
        self.pending[block].removeAll(keepingCapacity: true)
    }
}

/// Serves the users of a version. Any number of threads may use it, each through a reader of its own.
package final class UserStore: Sendable {
    /// Counts users with a vector.
    package let count: Int
    /// Counts users with a history.
    package let historyCount: Int
    package let dimension: Int
    private let files: [VersionFile]

    /// Opens the 16 files and checks each user's key, the size and finiteness of its vector, and its history. O(users ×
    /// dimension + interactions).
    ///
    /// - Parameter itemCount: ordinals of histories must be below.
    package init(folder: String, dimension: Int, itemCount: Int = Limits.maximumItems) throws(AnnexError) {
        var files: [VersionFile] = []
        var (count, historyCount) = (0, 0)
        for block in 0..<Slot.blockCount {
            let path = folder + "/" + UserSchema.file(block)
            let file = try VersionFile(
                path,
                tables: [UserSchema.factors],
                optional: [UserSchema.histories]
            )
            count += unsafe try Self.check(file, file.table(UserSchema.factors), block) { value in
                unsafe value.count == dimension * 4 && Self.isFinite(value)
            }
            if let table = file.optionalTable(UserSchema.histories) {
                historyCount += unsafe try Self.check(file, table, block) { value in
                    unsafe HistoryView(value)?.isSound(itemCount: itemCount) ?? false
                }
            }
            files.append(file)
        }
        self.files = files
        self.count = count
        self.historyCount = historyCount
        self.dimension = dimension
    }

    /// Looks at every entry of a table; returns how many there are.
    private static func check(
        _ file: VersionFile,
        _ table: MDB_dbi,
        _ block: Int,
        _ isRight: (UnsafeRawBufferPointer) -> Bool
    ) throws(AnnexError) -> Int {
        var count = 0
        try unsafe file.makeSnapshot().forEach(table) { key, value throws(AnnexError) in
            guard unsafe Identifier.isValid(key), unsafe Slot.block(of: Slot.of(key)) == block, unsafe isRight(value)
            else {
                let what = "user '\(unsafe Printable.escape(key))' is wrong"
                throw AnnexError(.damaged, what, at: file.path, hint: LMDBFileKind.version.restore)
            }
            count += 1
            return true
        }
        return count
    }

    private static func isFinite(_ value: UnsafeRawBufferPointer) -> Bool {
        for offset in stride(from: 0, to: value.count, by: 4) {
            let bits = unsafe value.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            if Float(bitPattern: UInt32(littleEndian: bits)).isFinite == false { return false }
        }
        return true
    }

    /// Appends every user's vector, block after block, each in byte order of ids. O(users × dimension).
    package func appendVectors(to values: inout [Float]) throws(AnnexError) {
        values.reserveCapacity(values.count + self.count * self.dimension)
        for file in self.files {
            let snapshot = try file.makeSnapshot()
            try unsafe snapshot.forEach(file.table(UserSchema.factors)) { _, value throws(AnnexError) in
                for offset in stride(from: 0, to: value.count, by: 4) {
                    let bits = unsafe value.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                    values.append(Float(bitPattern: UInt32(littleEndian: bits)))
                }
                return true
            }
        }
    }

    /// Lends every user's trained history, block after block, each in byte order of ids. O(interactions).
    package func forEachHistory(
        _ body: (_ id: Span<UInt8>, HistoryView) throws(AnnexError) -> Void
    ) throws(AnnexError) {
        for file in self.files {
            guard let table = file.optionalTable(UserSchema.histories) else { continue }
            let snapshot = try file.makeSnapshot()
            try unsafe snapshot.forEach(table) { id, value throws(AnnexError) in
                if let history = unsafe HistoryView(value) { unsafe try body(Span(_unsafeBytes: id), history) }
                return true
            }
        }
    }

    package func makeReader() throws(AnnexError) -> UserReader {
        var blocks: [UserReader.Block] = []
        for file in self.files {
            blocks.append(
                UserReader.Block(
                    snapshot: try file.makeSnapshot(),
                    factors: file.table(UserSchema.factors),
                    histories: file.optionalTable(UserSchema.histories)
                )
            )
        }
        return UserReader(blocks, dimension: self.dimension)
    }
}

/// Looks users up, for one thread at a time. Allocates nothing per call.
package final class UserReader {
    struct Block {
        var snapshot: VersionSnapshot
        var factors: MDB_dbi
        /// It is nil in versions without histories.
        var histories: MDB_dbi?
    }

    private let blocks: [Block]
    private let dimension: Int

    init(_ blocks: [Block], dimension: Int) {
        self.blocks = blocks
        self.dimension = dimension
    }

    /// Copies a user's vector; false where the user is unknown. O(log users + dimension).
    ///
    /// - Parameter target: `dimension` floats.
    package func copyVector(of id: Span<UInt8>, into target: inout [Float]) -> Bool {
        precondition(target.count == self.dimension, "unchecked dimension")
        return unsafe id.withUnsafeBytes { id in
            let block = self.blocks[Slot.block(of: unsafe Slot.of(id))]
            return unsafe block.snapshot.withValue(block.factors, id) { value in
                guard let value = unsafe value, value.count == target.count * 4 else { return false }
                unsafe target.withUnsafeMutableBytes { unsafe $0.copyMemory(from: value) }
                return true
            }
        }
    }

    /// Tells whether the user has a vector or a history. O(log users).
    package func has(_ id: Span<UInt8>) -> Bool {
        unsafe id.withUnsafeBytes { id in
            let block = self.blocks[Slot.block(of: unsafe Slot.of(id))]
            if unsafe block.snapshot.withValue(block.factors, id, { unsafe $0 != nil }) { return true }
            guard let histories = block.histories else { return false }
            return unsafe block.snapshot.withValue(histories, id) { unsafe $0 != nil }
        }
    }

    /// Lends a user's trained history; nil where the user has none. O(log users).
    ///
    /// The history may be used as long as the reader lives. It was checked when the store was opened.
    package func withHistory<R>(of id: Span<UInt8>, _ body: (HistoryView?) -> R) -> R {
        unsafe id.withUnsafeBytes { id in
            let block = self.blocks[Slot.block(of: unsafe Slot.of(id))]
            guard let histories = block.histories else { return body(nil) }
            return unsafe block.snapshot.withValue(histories, id) { value in
                body(unsafe value.flatMap { unsafe HistoryView($0) })
            }
        }
    }
}
