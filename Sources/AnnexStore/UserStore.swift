package import AnnexCore
import CLMDB
import Foundation

/// `users/00.lmdb` … `15.lmdb`: table `factors`, user id → float32 × dimension, little-endian; a user lies in the file
/// of its slot's block, so that a shard needs only its own.
enum UserSchema {
    static let factors = "factors"

    static func file(_ block: Int) -> String { (block < 10 ? "0" : "") + "\(block).lmdb" }
}

/// Writes the 16 users files; users come in byte order of their ids. Used by one thread. The same users give the same
/// bytes.
package final class UserStoreWriter {
    private let dimension: Int
    private let environments: [StoreEnvironment]
    private var pending: [[(id: Identifier, value: [UInt8])]]
    private var pendingBytes = 0
    private var last: Identifier?

    /// Makes the folder and 16 new files.
    package init(folder: String, dimension: Int) throws(AnnexError) {
        self.dimension = dimension
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw AnnexError(.system, "cannot make the folder: \(error.localizedDescription)", at: folder)
        }
        var environments: [StoreEnvironment] = []
        for block in 0..<Slot.blockCount {
            environments.append(try StoreEnvironment(creating: folder + "/" + UserSchema.file(block)))
        }
        self.environments = environments
        self.pending = Array(repeating: [], count: Slot.blockCount)
        for block in 0..<Slot.blockCount { try self.flush(block) }
    }

    /// - Parameter vector: `dimension` floats.
    package func append(_ id: Identifier, vector: UnsafeBufferPointer<Float>) throws(AnnexError) {
        precondition(vector.count == self.dimension, "unchecked dimension")
        if let last, !(last < id) { throw AnnexError(.badInput, "user '\(id)' does not come behind '\(last)'") }
        self.last = id
        let block = Slot.block(of: Slot.of(id.bytes))
        self.pending[block].append((id, unsafe Array(UnsafeRawBufferPointer(vector))))
        self.pendingBytes += id.bytes.count + self.dimension * 4 + 48
        if self.pendingBytes > 32 << 20 {
            for block in 0..<Slot.blockCount { try self.flush(block) }
            self.pendingBytes = 0
        }
    }

    /// Writes what is left and flushes to the disk.
    package func finish() throws(AnnexError) {
        for block in 0..<Slot.blockCount {
            try self.flush(block)
            try self.environments[block].sync()
        }
    }

    private func flush(_ block: Int) throws(AnnexError) {
        let users = self.pending[block]
        try unsafe self.environments[block].write { transaction throws(StoreFailure) in
            let table = try unsafe StoreWriting.table(transaction, UserSchema.factors)
            for user in users { try unsafe StoreWriting.append(transaction, table, user.id.bytes, user.value) }
        }
        self.pending[block].removeAll(keepingCapacity: true)
    }
}

/// The users of a served version. Any number of threads, each through a reader of its own.
package final class UserStore: Sendable {
    package let count: Int
    package let dimension: Int
    private let environments: [StoreEnvironment]

    /// Opens the 16 files and checks each user's key and the size and finiteness of its vector. O(users × dimension).
    package init(folder: String, dimension: Int) throws(AnnexError) {
        var environments: [StoreEnvironment] = []
        var count = 0
        for block in 0..<Slot.blockCount {
            let path = folder + "/" + UserSchema.file(block)
            let environment = try StoreEnvironment(readOnly: path, tables: [UserSchema.factors])
            let snapshot = try environment.makeSnapshot()
            try unsafe snapshot.forEach(environment.table(UserSchema.factors)) { key, value throws(AnnexError) in
                guard unsafe Identifier.isValid(key), value.count == dimension * 4,
                    unsafe Slot.block(of: Slot.of(key)) == block, unsafe Self.isFinite(value)
                else { throw AnnexError(.damaged, "user '\(unsafe Printable.escape(key))' is wrong", at: path) }
                count += 1
                return true
            }
            environments.append(environment)
        }
        self.environments = environments
        self.count = count
        self.dimension = dimension
    }

    private static func isFinite(_ value: UnsafeRawBufferPointer) -> Bool {
        for offset in stride(from: 0, to: value.count, by: 4) {
            let bits = unsafe value.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            if Float(bitPattern: UInt32(littleEndian: bits)).isFinite == false { return false }
        }
        return true
    }

    /// Lends every user's vector, block after block, each in byte order of ids. O(users).
    package func forEachVector(_ body: (UnsafeRawBufferPointer) -> Void) throws(AnnexError) {
        for environment in self.environments {
            let snapshot = try environment.makeSnapshot()
            try unsafe snapshot.forEach(environment.table(UserSchema.factors)) { _, value throws(AnnexError) in
                unsafe body(value)
                return true
            }
        }
    }

    package func makeReader() throws(AnnexError) -> UserReader {
        var snapshots: [(StoreSnapshot, MDB_dbi)] = []
        for environment in self.environments {
            let snapshot = try environment.makeSnapshot()
            snapshots.append((snapshot, environment.table(UserSchema.factors)))
        }
        return UserReader(snapshots, dimension: self.dimension)
    }
}

/// Looks users up, for one thread at a time. Allocates nothing per call.
package final class UserReader {
    private let snapshots: [(snapshot: StoreSnapshot, table: MDB_dbi)]
    private let dimension: Int

    init(_ snapshots: [(StoreSnapshot, MDB_dbi)], dimension: Int) {
        self.snapshots = snapshots.map { (snapshot: $0.0, table: $0.1) }
        self.dimension = dimension
    }

    /// Copies a user's vector; false where the user is unknown. O(log users + dimension).
    ///
    /// - Parameter target: `dimension` floats.
    package func copyVector(
        of id: UnsafeRawBufferPointer,
        into target: UnsafeMutableBufferPointer<Float>
    ) -> Bool {
        precondition(target.count == self.dimension, "unchecked dimension")
        let block = self.snapshots[Slot.block(of: unsafe Slot.of(id))]
        return unsafe block.snapshot.withValue(block.table, id) { value in
            guard let value = unsafe value, value.count == target.count * 4 else { return false }
            unsafe UnsafeMutableRawBufferPointer(target).copyMemory(from: value)
            return true
        }
    }
}
