package import AnnexCore
import CLMDB
import Glibc

/// Copies of a state for other machines: taken beside the server that writes it, given back before one starts.
package enum StateBackup {
    private static let attempts = 8

    /// Copies what is durable as of now, without free pages, into a new file. A server may have the state open and write
    /// it; it notices nothing, but that its file may grow until the copy is made. Blocks, O(bytes).
    ///
    /// This process is a reader of the server's file then, as LMDB keeps them: in its lock file, which it must be allowed
    /// to write, and by process id, so that both must see the same ids (the same container).
    ///
    /// - Parameter path: flushed, but its folder is not. It does not exist.
    /// - Throws: `.notFound` where there is no state, `.damaged` where it is none.
    package static func copy(_ folder: String, to path: String) throws(AnnexError) {
        let file = StateFolder.file(folder)
        var attempt = 1
        while true {
            guard let size = try StateFolder.fileSize(file) else {
                throw StateFolder.noState(file)
            }
            // Room for what is written until the copy begins.
            let (doubled, isOver) = size.multipliedReportingOverflow(by: 2)
            let environment = try StateEnvironment(
                file,
                in: nil,
                mode: .beside,
                mapBytes: max(16 << 20, isOver ? size : doubled)
            )
            _ = try StateFile.summary(environment)
            let status = environment.file.copy(to: path)
            if status == 0 { return try StateFolder.flush(path) }
            unsafe unlink(path)
            guard status == MDB_MAP_RESIZED, attempt < Self.attempts else {
                throw LMDBFailure(status: status).error("cannot copy", path, .state)
            }
            attempt += 1
        }
    }

    /// Makes a state, which nobody has open, begin before the first entry of the log, of whatever id. Blocks.
    package static func forgetPositions(_ folder: String) throws(AnnexError) {
        let lock = try StateFolder(folder, create: false)
        guard let size = try lock.fileSize() else { throw StateFolder.noState(lock.file) }
        let environment = try StateEnvironment(
            lock.file,
            in: lock,
            mode: .readWrite(readers: 2),
            mapBytes: size + (16 << 20)
        )
        do throws(LMDBFailure) {
            let transaction = try StateTransaction(environment, index: IndexRule())
            try transaction.dropMarks()
            try transaction.dropLogID()
            try transaction.commit()
        } catch { throw error.error("cannot be written", lock.file, .state) }
    }
}
