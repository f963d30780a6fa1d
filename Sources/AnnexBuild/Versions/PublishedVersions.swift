package import AnnexCore
import AnnexIndex
import Foundation

/// Finds the versions of an index on disk.
package enum PublishedVersions {
    /// Returns all published versions, oldest first. What has no version's name is none of them.
    package static func versions(of indexFolder: String) throws(AnnexError) -> [EntryName] {
        let folder = indexFolder + "/" + VersionLayout.versions
        guard let directory = unsafe opendir(folder) else {
            guard errno == ENOENT || errno == ENOTDIR else { throw Self.unreadable("cannot be listed", folder, errno) }
            throw AnnexError(
                .notFound,
                "there is no index here",
                at: indexFolder,
                hint: "Build one with `annctl build`"
            )
        }
        unsafe closedir(directory)
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: folder) } catch {
            throw AnnexError(.system, "cannot be listed: \(error.localizedDescription)", at: folder)
        }
        return names.filter { VersionLayout.time(ofVersion: $0) != nil }.compactMap(EntryName.init).sorted()
    }

    package static func folder(of indexFolder: String, _ version: EntryName) -> String {
        indexFolder + "/" + VersionLayout.versions + "/" + version.value
    }

    /// Waits until no other process changes the catalogue; the change lasts as long as the lock is held.
    static func lock(_ indexFolder: String) throws(AnnexError) -> FileLock {
        try FileLock(indexFolder + "/" + VersionLayout.versions + "/" + VersionLayout.catalogueLock, wait: true)
    }

    /// Replaces the link in one step: a reader sees the old version or the new one. The caller holds the lock.
    static func setCurrent(_ version: EntryName, of indexFolder: String) throws(AnnexError) {
        let temporary =
            indexFolder + "/" + VersionLayout.temporaryPrefix + "current-"
            + String(UInt64.random(in: 0...UInt64.max), radix: 16)
        let target = VersionLayout.versions + "/" + version.value
        guard unsafe symlink(target, temporary) == 0 else {
            throw SystemFailure.error("cannot make the link", at: temporary)
        }
        let path = indexFolder + "/" + VersionLayout.current
        var moved = unsafe rename(temporary, path)
        // A folder, as a copy that followed the link leaves it, must be out of the way first; the next build removes it.
        if moved != 0, errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST,
            unsafe rename(path, temporary + "-copy") == 0
        {
            moved = unsafe rename(temporary, path)
        }
        guard moved == 0 else {
            let failure = SystemFailure.error("cannot replace the link", at: path)
            unsafe unlink(temporary)
            throw failure
        }
        try FileSystem.flush(indexFolder)
        try? FileManager.default.removeItem(atPath: temporary + "-copy")
    }

    /// Proves that a version can be served, before it becomes current.
    package typealias Proof = (VerifiedVersion) throws(AnnexError) -> Void

    /// Points `current` to the version before it, by name, once that has been verified and proved. Where `current` is lost
    /// or names nothing, that is the newest. Returns (from, to).
    ///
    /// - Throws: `.notFound` where there is none before; `.damaged` where that one is, and `current` stays.
    package static func rollBack(
        _ indexFolder: String,
        proof: Proof = { _ in }
    ) throws(AnnexError) -> (from: EntryName?, to: EntryName) {
        let lock = try Self.lockExisting(indexFolder)
        defer { withExtendedLifetime(lock) {} }
        let current = try Self.knownCurrent(of: indexFolder)
        guard
            let before = try Self.versions(of: indexFolder).last(where: { version in
                current.map { version < $0 } ?? true
            })
        else {
            throw AnnexError(
                .notFound,
                current.map { "there is no version before \($0)" } ?? "there is no version",
                at: indexFolder,
                hint: current == nil ? "Build one with `annctl build`" : "See `annctl list \(indexFolder)`"
            )
        }
        try Self.move(to: before, of: indexFolder, proof)
        return (current, before)
    }

    /// Points `current` to a version, once that has been verified and proved, whatever `current` is now: a link, a file, a
    /// folder, or nothing. Returns what was current; nil where that was lost.
    ///
    /// - Throws: `.notFound` where there is no such version; `.damaged` where it is, and `current` stays.
    package static func use(
        _ version: EntryName,
        of indexFolder: String,
        proof: Proof = { _ in }
    ) throws(AnnexError) -> EntryName? {
        let lock = try Self.lockExisting(indexFolder)
        defer { withExtendedLifetime(lock) {} }
        let current = try Self.knownCurrent(of: indexFolder)
        try Self.move(to: version, of: indexFolder, proof)
        return current
    }

    /// Takes the catalogue's lock, of an index that exists.
    private static func lockExisting(_ indexFolder: String) throws(AnnexError) -> FileLock {
        _ = try Self.versions(of: indexFolder)
        return try Self.lock(indexFolder)
    }

    /// Returns the current version; nil where `current` does not name one.
    private static func knownCurrent(of indexFolder: String) throws(AnnexError) -> EntryName? {
        do throws(AnnexError) { return try Self.current(of: indexFolder) } catch {
            guard error.code == .damaged else { throw error }
            return nil
        }
    }

    private static func move(to version: EntryName, of indexFolder: String, _ proof: Proof) throws(AnnexError) {
        try proof(try Verifier.verify(indexFolder: indexFolder, version: version))
        try Self.setCurrent(version, of: indexFolder)
    }

    /// Removes all but the newest `keep` versions and the current one. Returns what was removed.
    package static func prune(_ indexFolder: String, keep: Int) throws(AnnexError) -> [EntryName] {
        guard keep >= 1 else { throw AnnexError(.usage, "--keep \(keep): at least 1 is kept", hint: "Give --keep 1") }
        _ = try Self.versions(of: indexFolder)
        let lock = try Self.lock(indexFolder)
        defer { withExtendedLifetime(lock) {} }
        let all = try Self.versions(of: indexFolder)
        let current = try Self.current(of: indexFolder)
        let gone = all.dropLast(keep).filter { $0 != current }
        for version in gone {
            let folder = Self.folder(of: indexFolder, version)
            // The folder gets out of sight first: one that is being removed is no version any more.
            let doomed =
                indexFolder + "/" + VersionLayout.versions + "/" + VersionLayout.temporaryPrefix + version.value
            guard unsafe rename(folder, doomed) == 0 else { throw SystemFailure.error("cannot remove", at: folder) }
            do {
                try FileManager.default.removeItem(atPath: doomed)
            } catch {
                throw AnnexError(.system, "cannot remove: \(error.localizedDescription)", at: doomed)
            }
            unsafe unlink(indexFolder + "/" + VersionLayout.rejects(version))
        }
        return Array(gone)
    }
}
