package import AnnexCore
import Foundation

/// Writes the file of lines that could not be sent: number, reason, the line as it was; tabs between them. Locked as
/// long as it is open, so that one run at a time writes it. One thread at a time may use it; all calls block.
package final class IngestRejects {
    package static let heading = "line\treason\ttext\n"

    package let path: String
    private let descriptor: Int32
    package private(set) var bytes = 0

    /// Opens or makes the file, and cuts off what is behind the first `bytes` bytes: a later part of an earlier run,
    /// which comes again. 0: begins anew.
    ///
    /// - Throws: `.busy` where another run has it open; `.usage` for a file that is no such one, or shorter than `bytes`.
    package init(_ path: String, keeping bytes: Int) throws(AnnexError) {
        self.path = path
        self.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o644)
        guard self.descriptor >= 0 else { throw DurableFile.failure("cannot be opened", at: path) }
        guard flock(self.descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw AnnexError(
                .busy,
                "another run writes it",
                at: path,
                hint: "Let it end, or name another with --rejects"
            )
        }
        let size = Int(lseek(self.descriptor, 0, SEEK_END))
        guard size >= 0 else { throw DurableFile.failure("is no regular file", at: path) }
        try self.checkHeading(size)
        guard size >= bytes else {
            throw AnnexError(
                .usage,
                "has \(size) bytes, the progress file says \(bytes): it is another, or was cut",
                at: path,
                hint: "Give the --rejects of the first run, or remove the progress file to send all lines again"
            )
        }
        guard ftruncate(self.descriptor, bytes) == 0, lseek(self.descriptor, bytes, SEEK_SET) == bytes else {
            throw DurableFile.failure("cannot be cut", at: path)
        }
        self.bytes = bytes
        try DurableFile.flushFolder(of: path)
    }

    deinit { if self.descriptor >= 0 { close(self.descriptor) } }

    /// A file of somebody else's is not cut.
    private func checkHeading(_ size: Int) throws(AnnexError) {
        guard size > 0 else { return }
        var found = [UInt8](repeating: 0, count: Self.heading.utf8.count)
        let count = pread(self.descriptor, &found, found.count, 0)
        // A run that was killed may have left a part of it.
        guard count > 0, found.prefix(count).elementsEqual(Self.heading.utf8.prefix(count)) else {
            throw AnnexError(
                .usage,
                "is there already, and is no file of rejects",
                at: self.path,
                hint: "Name another with --rejects"
            )
        }
    }

    /// Appends lines, which are durable when it returns.
    package func append(_ lines: [UInt8]) throws(AnnexError) {
        guard !lines.isEmpty else { return }
        let all = (self.bytes == 0 ? Array(Self.heading.utf8) : []) + lines
        try DurableFile.write(all, to: self.descriptor, at: self.path)
        guard fsync(self.descriptor) == 0 else { throw DurableFile.failure("cannot be flushed", at: self.path) }
        self.bytes += all.count
    }

    /// Removes the file where nothing is in it.
    package func removeIfEmpty() { if self.bytes == 0 { unlink(self.path) } }
}
