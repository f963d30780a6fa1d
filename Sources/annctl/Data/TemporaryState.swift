import AnnexCore
import AnnexStore
import Foundation
import Glibc

/// A state under a temporary name, on its way to its own.
struct TemporaryState {
    let folder: String
    var file: String { self.folder + "/state.lmdb" }

    /// Makes an empty folder on the file system of `path`.
    init(beside path: String) throws {
        let url = URL(fileURLWithPath: path)
        self.folder = url.deletingLastPathComponent().path + "/.tmp-\(url.lastPathComponent)-\(getpid())"
        guard mkdir(self.folder, 0o755) == 0 else { throw Self.failure("cannot make the folder", self.folder) }
    }

    /// A copy of a file, in the folder for temporary files. Blocks.
    init(copying path: String) throws {
        guard FileManager.default.fileExists(atPath: path) else {
            throw AnnexError(.notFound, "there is no such file", at: path)
        }
        try self.init(beside: NSTemporaryDirectory() + "/annex-" + URL(fileURLWithPath: path).lastPathComponent)
        do { try FileManager.default.copyItem(atPath: path, toPath: self.file) } catch {
            self.remove()
            throw AnnexError(.system, "cannot copy: \(error.localizedDescription)", at: path)
        }
    }

    func remove() { try? FileManager.default.removeItem(atPath: self.folder) }

    /// Reads all of it: first in a process of its own, as some damage ends the process that reads it. Blocks.
    func inspect() throws -> StateInspection {
        try StatePreflight.check(self.folder)
        return try StateStore.inspect(self.folder)
    }

    /// Gives the file its name; it outlives a power cut when this returns. Never replaces another.
    func give(fileAs path: String) throws {
        try Self.flush(self.file)
        // Unlike a rename, a link does not replace what came meanwhile.
        guard link(self.file, path) == 0 else { throw Self.failure("cannot be named", path) }
        try Self.flush(URL(fileURLWithPath: path).deletingLastPathComponent().path)
    }

    /// The same for the folder.
    func give(folderAs path: String) throws {
        for leftover in ["state.lmdb-lock", "lock"] { unlink(self.folder + "/" + leftover) }
        try Self.flush(self.file)
        try Self.flush(self.folder)
        guard rename(self.folder, path) == 0 else { throw Self.failure("cannot be named", path) }
        try Self.flush(URL(fileURLWithPath: path).deletingLastPathComponent().path)
    }

    private static func flush(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("cannot open", path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Self.failure("cannot flush", path) }
    }

    private static func failure(_ what: String, _ path: String) -> AnnexError {
        AnnexError(.system, "\(what): \(String(cString: strerror(errno)))", at: path)
    }
}
