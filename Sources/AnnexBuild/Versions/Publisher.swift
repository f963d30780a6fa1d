package import AnnexCore
import AnnexIndex
package import Foundation

/// Makes a version, in a temporary folder beside the finished ones, under a lock that keeps other builds out.
///
/// At whatever moment the process is killed, `current` names a whole version (or the one before), and what lies in a
/// `.tmp-` folder is picked up by nobody; the next build removes it.
package final class Publisher {
    package let indexFolder: String
    /// The folder to write files to.
    package let temporary: String
    private let lock: FileLock

    /// Takes the lock, removes what dead builds left and makes the folders.
    ///
    /// - Throws: `.busy` where another build holds the lock.
    package init(indexFolder: String) throws(AnnexError) {
        let versions = indexFolder + "/" + VersionLayout.versions
        try Self.makeFolder(versions, withParents: true)
        do throws(AnnexError) {
            self.lock = try FileLock(versions + "/" + VersionLayout.lock, wait: false)
        } catch  where error.code == .busy {
            throw AnnexError(
                .busy,
                "another build of this index is running",
                at: indexFolder,
                hint: "Wait until it has ended"
            )
        }
        self.indexFolder = indexFolder
        self.temporary =
            versions + "/" + VersionLayout.temporaryPrefix + String(UInt64.random(in: 0...UInt64.max), radix: 16)
        try Self.removeLeftovers(indexFolder)
        try Self.makeFolder(self.temporary, withParents: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: self.temporary) }

    private static func makeFolder(_ path: String, withParents: Bool) throws(AnnexError) {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: withParents)
        } catch {
            throw AnnexError(.system, "cannot make the folder: \(error.localizedDescription)", at: path)
        }
    }

    /// The build's lock is ours, so no build that left them is alive; with the catalogue's lock no `prune` is at work.
    private static func removeLeftovers(_ indexFolder: String) throws(AnnexError) {
        let lock = try PublishedVersions.lock(indexFolder)
        defer { withExtendedLifetime(lock) {} }
        for folder in [indexFolder, indexFolder + "/" + VersionLayout.versions] {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            where name.hasPrefix(VersionLayout.temporaryPrefix) {
                try? FileManager.default.removeItem(atPath: folder + "/" + name)
            }
        }
    }

    package func path(_ file: String) -> String { self.temporary + "/" + file }

    /// Flushes everything, verifies and proves it, names the folder after time and content, and points `current` to it.
    ///
    /// Names stand in the order of publishing: where the clock is not past the newest version's time, that time and a
    /// second more is taken.
    ///
    /// - Parameters:
    ///   - rejects: lines of the rows that were left out, written beside the versions; nil for none.
    ///   - proof: what is not proved is not published.
    package func publish(
        manifest: Manifest,
        report: Data,
        rejects: Data?,
        proof: PublishedVersions.Proof
    ) throws -> EntryName {
        let data = try manifest.encoded()
        let hash = FileHash.sha256(data)
        try FileSystem.write(report, to: self.path(VersionLayout.report))
        try FileSystem.write(
            Data("\(hash)  \(VersionLayout.manifest)\n".utf8),
            to: self.path(VersionLayout.manifestSum)
        )
        try FileSystem.write(data, to: self.path(VersionLayout.manifest))
        for file in manifest.files { try FileSystem.flush(self.path(file.path)) }
        if manifest.hasUsers { try FileSystem.flush(self.path(VersionLayout.users)) }
        try FileSystem.flush(self.temporary)
        try self.prove(hash, proof)

        let lock = try PublishedVersions.lock(self.indexFolder)
        defer { withExtendedLifetime(lock) {} }
        let versions = self.indexFolder + "/" + VersionLayout.versions
        let newest = try PublishedVersions.versions(of: self.indexFolder).last.flatMap {
            VersionLayout.time(ofVersion: $0.value)
        }
        let name = VersionLayout.versionName(
            max(Date(), newest?.addingTimeInterval(1) ?? .distantPast),
            contentHash: hash
        )
        guard let version = EntryName(name), VersionLayout.time(ofVersion: name) != nil else {
            throw AnnexError(
                .system,
                "impossible version name '\(Printable.escape(name))'",
                at: versions,
                hint: "Set the clock right"
            )
        }
        if let rejects { try self.write(rejects, for: version) }
        guard unsafe rename(self.temporary, versions + "/" + name) == 0 else {
            throw SystemFailure.error("cannot rename", at: self.temporary)
        }
        try FileSystem.flush(versions)
        try PublishedVersions.setCurrent(version, of: self.indexFolder)
        return version
    }

    /// Reads the files that were written as a server reads them.
    private func prove(_ hash: String, _ proof: PublishedVersions.Proof) throws(AnnexError) {
        guard let name = EntryName(VersionLayout.versionName(Date(), contentHash: hash)) else { return }
        do throws(AnnexError) {
            try proof(try Verifier.verify(self.temporary, as: name, of: self.indexFolder))
        } catch {
            throw AnnexError(
                error.code,
                "what was built cannot be served, and was not published: \(error.message)",
                at: error.location.map { ($0 as NSString).lastPathComponent },
                hint: "Take another index kind with --index, and please report it with the recipe"
            )
        }
    }

    /// Writes the file under a temporary name first, as everything that is published.
    private func write(_ rejects: Data, for version: EntryName) throws(AnnexError) {
        let target = self.indexFolder + "/" + VersionLayout.rejects(version)
        let temporary = self.indexFolder + "/" + VersionLayout.temporaryPrefix + VersionLayout.rejects(version)
        try FileSystem.write(rejects, to: temporary)
        guard unsafe rename(temporary, target) == 0 else { throw SystemFailure.error("cannot rename", at: temporary) }
    }
}
