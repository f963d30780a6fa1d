import AnnexCore
import AnnexIndex
import Foundation

/// Holds the mark that the file system has of a file, so that a change can be noticed without reading it again.
///
/// The time is that of the last change of content, name or links (`ctime`), which no program can set back. What stays
/// unnoticed: a second change within the clock tick (some milliseconds) of the one before, and a write through a
/// mapping that was never flushed.
struct FileMark: Equatable, Sendable {
    let path: String
    let bytes: Int
    private let device: UInt64
    private let inode: UInt64
    private let seconds: Int
    private let nanoseconds: Int

    /// Takes the mark of a regular file. A link is refused unless it may be followed.
    ///
    /// - Throws: `.damaged` for anything else.
    init(_ path: String, followLinks: Bool = false) throws(AnnexError) {
        var status = stat()
        guard unsafe (followLinks ? stat(path, &status) : lstat(path, &status)) == 0 else {
            throw AnnexError(
                .damaged,
                errno == ENOENT ? "is missing" : "cannot be looked at: \(unsafe String(cString: strerror(errno)))",
                at: path
            )
        }
        try self.init(status, path)
    }

    /// Takes the mark of an open file.
    init(descriptor: Int32, path: String) throws(AnnexError) {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw SystemFailure.error("cannot be looked at", at: path) }
        try self.init(status, path)
    }

    private init(_ status: stat, _ path: String) throws(AnnexError) {
        guard status.st_mode & S_IFMT == S_IFREG else { throw AnnexError(.damaged, "is not a regular file", at: path) }
        self.path = path
        self.device = UInt64(status.st_dev)
        self.inode = UInt64(status.st_ino)
        self.bytes = Int(status.st_size)
        self.seconds = status.st_ctim.tv_sec
        self.nanoseconds = status.st_ctim.tv_nsec
    }
}
