import AnnexCore
import AnnexIndex
import Foundation

/// The few system calls that Foundation has no word for.
enum FileSystem {
    /// Calls fsync on a file or folder. Blocks.
    static func flush(_ path: String) throws(AnnexError) {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFailure.error("cannot open", at: path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SystemFailure.error("cannot flush", at: path) }
    }

    /// Returns the whole content of a small regular file.
    ///
    /// - Throws: `.damaged` for a link, for what is no file, and above `limitBytes`: nothing is read then.
    static func contents(_ path: String, limitBytes: Int) throws(AnnexError) -> Data {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw AnnexError(
                .damaged,
                errno == ENOENT ? "is missing" : "cannot open: \(unsafe String(cString: strerror(errno)))",
                at: path
            )
        }
        defer { close(descriptor) }
        let mark = try FileMark(descriptor: descriptor, path: path)
        guard mark.bytes <= limitBytes else {
            throw AnnexError(.damaged, "has \(mark.bytes) bytes, more than \(limitBytes)", at: path)
        }
        var data = Data(count: mark.bytes)
        var done = 0
        while done < data.count {
            let count = unsafe data.withUnsafeMutableBytes { buffer in
                unsafe read(descriptor, buffer.baseAddress.map { unsafe $0 + done }, buffer.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw AnnexError(.damaged, "was cut while it was read", at: path) }
            done += count
        }
        return data
    }

    /// Writes a new file and flushes it.
    static func write(_ data: Data, to path: String) throws(AnnexError) {
        do { try data.write(to: URL(fileURLWithPath: path)) } catch {
            throw AnnexError(.system, "cannot write: \(error.localizedDescription)", at: path)
        }
        try Self.flush(path)
    }
}

/// Holds a lock between processes (flock) until the object goes or the process dies.
final class FileLock {
    private let descriptor: Int32

    /// - Throws: `.busy` where another holds it and `wait` is false.
    init(_ path: String, wait: Bool) throws(AnnexError) {
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw SystemFailure.error("cannot open the lock", at: path) }
        var status = flock(descriptor, LOCK_EX | (wait ? 0 : LOCK_NB))
        while status != 0, errno == EINTR { status = flock(descriptor, LOCK_EX | (wait ? 0 : LOCK_NB)) }
        guard status == 0 else {
            let error =
                errno == EWOULDBLOCK
                ? AnnexError(.busy, "another process holds the lock", at: path, hint: "Wait until it has ended")
                : SystemFailure.error("cannot lock", at: path)
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
    }

    deinit { close(self.descriptor) }
}
