package import AnnexCore
import Glibc

extension StateStore {
    /// Writes all that is durable as of now into one file without free pages, fit to be `state.lmdb` of another folder.
    /// Blocks, O(bytes). Changes go on, until one of them needs a larger map: that and what comes behind it wait for the
    /// copy.
    ///
    /// - Parameter path: replaced in one step, once the copy is flushed; its folder exists.
    package func copy(to path: String) throws(AnnexError) {
        let shared = try self.open()
        let temporary = path + ".tmp-\(getpid())"
        guard unsafe unlink(temporary) == 0 || errno == ENOENT else {
            throw StateFolder.failure("cannot be removed", at: temporary)
        }
        do throws(AnnexError) {
            try shared.copy(to: temporary)
            try StateFolder.flush(temporary)
            guard unsafe rename(temporary, path) == 0 else {
                throw StateFolder.failure("cannot be renamed", at: temporary)
            }
        } catch {
            unsafe unlink(temporary)
            throw error
        }
        try StateFolder.flush(StateFolder.parent(of: path))
    }
}
