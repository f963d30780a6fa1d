import AnnexCore
import CLMDB
import Glibc

/// LMDB's and the system's refusals, as errors for people.
enum StateFailure {
    static let restore = "Restore the state from a backup, or move the file away to begin without it"
    static let damaged =
        "Nothing is written from now on, reading goes on. Stop the server, run `annctl check-state STATE/NAME`, and restore "
        + "the state from a backup"
    static let restart =
        "Nothing is written from now on, reading goes on. Look into the kernel's log, then start the server again"

    static func error(_ status: Int32, _ what: String, _ path: String) -> AnnexError {
        if Self.isNoSpace(status) {
            return AnnexError(
                .system,
                "\(what): \(Self.reason(status))",
                at: path,
                hint: "Make space on that file system; no restart is needed"
            )
        }
        if status == EACCES || status == EPERM || status == EROFS {
            return AnnexError(
                .system,
                "\(what): \(Self.reason(status))",
                at: path,
                hint: "The state must be writable for the server's user"
            )
        }
        let error = StoreFailure(status: status).described(what, path)
        return error.code == .damaged
            ? AnnexError(.damaged, error.message, at: path, hint: Self.restore) : error
    }

    static func reason(_ status: Int32) -> String { unsafe String(cString: mdb_strerror(status)) }

    static func isNoSpace(_ status: Int32) -> Bool { status == ENOSPC || status == EDQUOT }

    /// Refusals that say nothing about the disk or the file: the next change may well succeed.
    static func isPassing(_ status: Int32) -> Bool {
        [ENOMEM, EAGAIN, EINTR, MDB_TXN_FULL, MDB_MAP_FULL].contains(status)
    }

    /// Refusals that concern the one change that met them. All others say that the file or the disk is damaged, or that
    /// there is no space: then nothing more may be written on top.
    static func isOfOneChange(_ status: Int32) -> Bool { status == MDB_BAD_VALSIZE }
}
