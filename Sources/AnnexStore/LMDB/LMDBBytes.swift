import CLMDB

/// Hands arrays to LMDB.
enum LMDBBytes {
    static func lend<R>(_ bytes: [UInt8], _ body: (inout MDB_val) -> R) -> R {
        unsafe bytes.withUnsafeBytes { bytes in
            var value = unsafe MDB_val(
                mv_size: bytes.count,
                mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress)
            )
            return unsafe body(&value)
        }
    }
}
