package import AnnexCore
import AnnexIndex
import Foundation

/// The versions of an index on disk.
package enum Catalogue {
    /// All published versions, oldest first. What has no version's name is none of them.
    package static func versions(of indexFolder: String) throws(AnnexError) -> [EntryName] {
        let folder = indexFolder + "/" + VersionLayout.versions
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
            throw AnnexError(
                .notFound,
                "there is no index here",
                at: indexFolder,
                hint: "Build one with `annctl build`"
            )
        }
        return names.filter { VersionLayout.time(ofVersion: $0) != nil }.compactMap(EntryName.init).sorted()
    }

    /// What `current` names; nil where there is no such link.
    ///
    /// - Throws: `.damaged` where it leads anywhere but to `versions/NAME`.
    package static func current(of indexFolder: String) throws(AnnexError) -> EntryName? {
        let path = indexFolder + "/" + VersionLayout.current
        guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path) else {
            guard !FileManager.default.fileExists(atPath: path) else {
                throw AnnexError(
                    .damaged,
                    "is not a link to a version",
                    at: path,
                    hint: "Remove it, then `annctl rollback` or build"
                )
            }
            return nil
        }
        let parts = target.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == VersionLayout.versions[...], let name = EntryName(String(parts[1])) else {
            throw AnnexError(.damaged, "leads to '\(Printable.escape(target))', not to a version", at: path)
        }
        return name
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
        guard symlink(target, temporary) == 0 else { throw SystemFailure.error("cannot make the link", at: temporary) }
        guard rename(temporary, indexFolder + "/" + VersionLayout.current) == 0 else {
            let failure = SystemFailure.error("cannot replace the link", at: indexFolder + "/" + VersionLayout.current)
            unlink(temporary)
            throw failure
        }
        try FileSystem.flush(indexFolder)
    }

    /// Points `current` to the version before it, by name, once that has been verified. Returns (from, to).
    ///
    /// - Throws: `.notFound` where there is none before; `.damaged` where that one is, and `current` stays.
    package static func rollBack(_ indexFolder: String) throws(AnnexError) -> (from: EntryName, to: EntryName) {
        _ = try Self.versions(of: indexFolder)
        let lock = try Self.lock(indexFolder)
        defer { withExtendedLifetime(lock) {} }
        guard let current = try Self.current(of: indexFolder) else {
            throw AnnexError(.notFound, "no version is current", at: indexFolder)
        }
        guard let before = try Self.versions(of: indexFolder).last(where: { $0 < current }) else {
            throw AnnexError(
                .notFound,
                "there is no version before \(current)",
                at: indexFolder,
                hint: "See `annctl list`"
            )
        }
        _ = try Verifier.verify(indexFolder: indexFolder, version: before)
        try Self.setCurrent(before, of: indexFolder)
        return (current, before)
    }

    /// Removes all but the newest `keep` versions and the current one. Returns what was removed.
    package static func prune(_ indexFolder: String, keep: Int) throws(AnnexError) -> [EntryName] {
        guard keep >= 1 else { throw AnnexError(.usage, "--keep \(keep): at least 1 is kept") }
        _ = try Self.versions(of: indexFolder)
        let lock = try Self.lock(indexFolder)
        defer { withExtendedLifetime(lock) {} }
        let all = try Self.versions(of: indexFolder)
        let current = try Self.current(of: indexFolder)
        let gone = all.dropLast(keep).filter { $0 != current }
        for version in gone {
            let folder = Self.folder(of: indexFolder, version)
            // Out of sight first: a folder that is being removed is no version any more.
            let doomed =
                indexFolder + "/" + VersionLayout.versions + "/" + VersionLayout.temporaryPrefix + version.value
            guard rename(folder, doomed) == 0 else { throw SystemFailure.error("cannot remove", at: folder) }
            do {
                try FileManager.default.removeItem(atPath: doomed)
            } catch {
                throw AnnexError(.system, "cannot remove: \(error.localizedDescription)", at: doomed)
            }
            unlink(indexFolder + "/" + VersionLayout.rejects(version))
        }
        return Array(gone)
    }
}
