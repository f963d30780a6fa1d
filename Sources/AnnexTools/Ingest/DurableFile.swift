import AnnexCore
import Foundation

/// Writes small files that are there as a whole or not at all, whatever happens to the machine.
enum DurableFile {
    /// Writes under a temporary name beside it, then fsync, rename, fsync of the folder. Blocks.
    static func replace(_ path: String, with bytes: [UInt8]) throws(AnnexError) {
        let temporary = path + ".tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw Self.failure("cannot be written", at: temporary) }
        do throws(AnnexError) {
            defer { close(descriptor) }
            try Self.write(bytes, to: descriptor, at: temporary)
            guard fsync(descriptor) == 0 else { throw Self.failure("cannot be flushed", at: temporary) }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else { throw Self.failure("cannot be replaced", at: path) }
        try Self.flushFolder(of: path)
    }

    static func write(_ bytes: [UInt8], to descriptor: Int32, at path: String) throws(AnnexError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Foundation.write(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure("cannot be written", at: path) }
            done += count
        }
    }

    static func flushFolder(of path: String) throws(AnnexError) {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("cannot be opened", at: folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Self.failure("cannot be flushed", at: folder) }
    }

    static func failure(_ what: String, at path: String) -> AnnexError {
        AnnexError(
            .system,
            "\(what): \(String(cString: strerror(errno)))",
            at: path,
            hint: "Is there such a folder, with room, and may this user write there?"
        )
    }
}
