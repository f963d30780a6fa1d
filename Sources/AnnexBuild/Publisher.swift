package import AnnexCore
package import Foundation

/// A version in the making: a temporary folder beside the finished ones, and the lock that keeps other builds out.
///
/// At whatever moment the process is killed, `current` names a whole version (or the one before), and what lies in a
/// `.tmp-` folder is picked up by nobody; the next build removes it.
package final class Publisher {
    package let indexFolder: String
    /// Where to write the files.
    package let temporary: String
    private let lock: Int32

    /// Takes the lock and makes the folders.
    ///
    /// - Throws: `.busy` where another build holds the lock.
    package init(indexFolder: String) throws(AnnexError) {
        let versions = indexFolder + "/" + VersionLayout.versions
        do {
            try FileManager.default.createDirectory(atPath: versions, withIntermediateDirectories: true)
        } catch {
            throw AnnexError(.system, "cannot make the folder: \(error.localizedDescription)", at: versions)
        }
        let lockPath = versions + "/" + VersionLayout.lock
        let lock = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else { throw FileSystem.failure("cannot open the lock", lockPath) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw AnnexError(.busy, "another build of this index is running", at: indexFolder, hint: "Wait until it has ended")
        }
        self.lock = lock
        self.indexFolder = indexFolder
        self.temporary = versions + "/" + VersionLayout.temporaryPrefix + String(UInt64.random(in: 0...UInt64.max), radix: 16)
        Self.removeLeftovers(versions)
        do {
            try FileManager.default.createDirectory(atPath: self.temporary, withIntermediateDirectories: false)
        } catch {
            throw AnnexError(.system, "cannot make the folder: \(error.localizedDescription)", at: self.temporary)
        }
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.temporary)
        close(self.lock)
    }

    /// The lock is ours, so no build that left them is alive.
    private static func removeLeftovers(_ versions: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: versions)) ?? []
        where name.hasPrefix(VersionLayout.temporaryPrefix) {
            try? FileManager.default.removeItem(atPath: versions + "/" + name)
        }
    }

    package func path(_ file: String) -> String { self.temporary + "/" + file }

    /// Flushes everything, names the folder after time and content, and points `current` to it.
    ///
    /// Names stand in the order of publishing: a build that ends in the same second as the one before waits for the
    /// next.
    package func publish(manifest: Manifest, report: Data) throws -> EntryName {
        let data = try manifest.encoded()
        let hash = FileHash.sha256(data)
        try data.write(to: URL(fileURLWithPath: self.path(VersionLayout.manifest)))
        try Data("\(hash)  \(VersionLayout.manifest)\n".utf8).write(to: URL(fileURLWithPath: self.path(VersionLayout.manifestSum)))
        try report.write(to: URL(fileURLWithPath: self.path(VersionLayout.report)))
        for file in VersionLayout.files(withUsers: manifest.users > 0) + [VersionLayout.manifest, VersionLayout.manifestSum, VersionLayout.report] {
            try FileSystem.flush(self.path(file))
        }
        if manifest.users > 0 { try FileSystem.flush(self.path(VersionLayout.users)) }
        try FileSystem.flush(self.temporary)

        let versions = self.indexFolder + "/" + VersionLayout.versions
        let newest = try Catalogue.versions(of: self.indexFolder).last?.value.prefix(16) ?? ""
        var name = VersionLayout.versionName(Date(), contentHash: hash)
        while name.prefix(16) <= newest {
            Thread.sleep(forTimeInterval: 0.05)
            let next = VersionLayout.versionName(Date(), contentHash: hash)
            guard next.prefix(16) < newest else { name = next; continue }
            throw AnnexError(.system, "the clock stands before the newest version", at: versions, hint: "Set the clock right")
        }
        guard let version = EntryName(name) else { throw AnnexError(.system, "impossible version name '\(name)'") }
        guard rename(self.temporary, versions + "/" + name) == 0 else { throw FileSystem.failure("cannot rename", self.temporary) }
        try FileSystem.flush(versions)
        try Catalogue.setCurrent(version, of: self.indexFolder)
        return version
    }
}

enum FileSystem {
    static func failure(_ what: String, _ path: String) -> AnnexError {
        AnnexError(.system, "\(what): \(String(cString: strerror(errno)))", at: path)
    }

    /// fsync of a file or folder.
    static func flush(_ path: String) throws(AnnexError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("cannot open", path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Self.failure("cannot flush", path) }
    }
}
