import AnnexCore
import CLMDB
import Glibc

/// Holds a status of LMDB or of the system that is no success. Every call of LMDB goes through `check`; `error` turns
/// the failure into an error for people, with advice that fits the file.
struct LMDBFailure: Error {
    let status: Int32

    static func check(_ status: Int32) throws(LMDBFailure) {
        guard status == 0 else { throw LMDBFailure(status: status) }
    }

    var reason: String { unsafe String(cString: mdb_strerror(self.status)) }

    var isNoSpace: Bool { self.status == ENOSPC || self.status == EDQUOT }

    /// Tells whether it says nothing about the disk or the file: the next change may well succeed.
    var isPassing: Bool { [ENOMEM, EAGAIN, EINTR, MDB_TXN_FULL, MDB_MAP_FULL].contains(self.status) }

    /// Tells whether it says that the file is not what it should be.
    var isDamage: Bool {
        [MDB_CORRUPTED, MDB_INVALID, MDB_VERSION_MISMATCH, MDB_PAGE_NOTFOUND, MDB_NOTFOUND].contains(self.status)
    }

    /// Tells whether it concerns the one change that met it. All others say that the file or the disk is damaged, or
    /// that there is no space: then nothing more may be written on top.
    var isOfOneChange: Bool { self.status == MDB_BAD_VALSIZE }

    /// - Parameter what: what could not be done.
    func error(_ what: String, _ path: String, _ kind: LMDBFileKind) -> AnnexError {
        AnnexError(
            self.isDamage ? .damaged : .system,
            "\(what): \(self.reason)",
            at: path,
            hint: self.advice(kind)
        )
    }

    private func advice(_ kind: LMDBFileKind) -> String? {
        if self.isDamage { return kind.restore }
        guard kind == .state else { return nil }
        if self.isNoSpace { return "Make space on that file system; no restart is needed" }
        let isForbidden = [EACCES, EPERM, EROFS].contains(self.status)
        return isForbidden ? "The state must be writable for the server's user" : nil
    }
}

/// Says whose file it is, so that an error gives the right advice.
enum LMDBFileKind {
    /// The file belongs to an immutable version.
    case version
    case state

    /// Returns the advice where the file is damaged.
    var restore: String {
        switch self {
        case .version: "Build the version again, or `annctl rollback`"
        case .state: "Restore the state from a backup, or move the file away to begin without it"
        }
    }
}
