package import AnnexCore
import Foundation

/// A version whose every byte was compared with its manifest.
package struct VerifiedVersion: Sendable {
    package let indexFolder: String
    package let version: EntryName
    package let manifest: Manifest
    package var folder: String { Catalogue.folder(of: self.indexFolder, self.version) }
    fileprivate let marks: [FileMark]

    /// Compares identity, size and time of every file with what was verified: call it once all is loaded, so that what
    /// was changed in between is noticed.
    package func confirmUnchanged() throws(AnnexError) {
        for mark in self.marks where try FileMark(mark.path) != mark {
            throw AnnexError(.damaged, "was changed while it was being loaded", at: mark.path, hint: "Versions are immutable: build a new one")
        }
    }
}

/// What `stat` says of a file, so that a change can be noticed.
private struct FileMark: Equatable, Sendable {
    let path: String
    let device: UInt64
    let inode: UInt64
    let bytes: Int
    let seconds: Int
    let nanoseconds: Int

    init(_ path: String) throws(AnnexError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw AnnexError(.damaged, "is missing", at: path, hint: "Build again, or roll back") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw AnnexError(.damaged, "is not a regular file", at: path) }
        self.path = path
        self.device = UInt64(status.st_dev)
        self.inode = UInt64(status.st_ino)
        self.bytes = Int(status.st_size)
        self.seconds = status.st_mtim.tv_sec
        self.nanoseconds = status.st_mtim.tv_nsec
    }
}

package enum Verifier {
    private static let hint = "Build the version again, or `annctl rollback`"

    /// Checks every byte that the manifest covers, and that nothing else lies there. O(bytes).
    ///
    /// `report.json` is not covered: it may be missing or changed.
    /// - Throws: `.damaged` or `.notFound`, naming the file.
    package static func verify(indexFolder: String, version: EntryName? = nil) throws(AnnexError) -> VerifiedVersion {
        let name: EntryName
        if let version {
            name = version
        } else {
            guard let current = try Catalogue.current(of: indexFolder) else {
                throw AnnexError(.notFound, "no version is current", at: indexFolder, hint: "Build one with `annctl build`")
            }
            name = current
        }
        let folder = Catalogue.folder(of: indexFolder, name)
        var status = stat()
        guard lstat(folder, &status) == 0 else { throw AnnexError(.notFound, "there is no version \(name)", at: indexFolder, hint: "See `annctl list`") }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw AnnexError(.damaged, "is not a folder", at: folder, hint: Self.hint) }

        let manifest = try Self.manifest(folder)
        guard name.value.hasSuffix("-" + (try FileHash.sha256(folder + "/" + VersionLayout.manifest)).hex.prefix(8)) else {
            throw AnnexError(.damaged, "the folder's name is not that of its content", at: folder, hint: Self.hint)
        }
        let expected = VersionLayout.files(withUsers: manifest.users > 0)
        guard manifest.files.map(\.path) == expected else {
            throw AnnexError(.damaged, "does not list the files that a version has", at: folder + "/" + VersionLayout.manifest, hint: Self.hint)
        }
        try Self.checkNothingElse(folder, expected, withUsers: manifest.users > 0)
        let marks = try (expected + [VersionLayout.manifest]).map { file throws(AnnexError) in try FileMark(folder + "/" + file) }
        for (entry, mark) in zip(manifest.files, marks) where entry.bytes != mark.bytes {
            throw AnnexError(.damaged, "has \(mark.bytes) bytes, the manifest says \(entry.bytes)", at: mark.path, hint: Self.hint)
        }
        for entry in manifest.files {
            let path = folder + "/" + entry.path
            guard try FileHash.sha256(path).hex == entry.sha256 else {
                throw AnnexError(.damaged, "its SHA-256 is not that of the manifest", at: path, hint: Self.hint)
            }
        }
        return VerifiedVersion(indexFolder: indexFolder, version: name, manifest: manifest, marks: marks)
    }

    /// Reads the manifest after comparing it with `manifest.sha256`.
    package static func manifest(_ folder: String) throws(AnnexError) -> Manifest {
        let path = folder + "/" + VersionLayout.manifest
        let sumPath = folder + "/" + VersionLayout.manifestSum
        for file in [path, sumPath] { _ = try FileMark(file) }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw AnnexError(.damaged, "cannot be read", at: path, hint: Self.hint)
        }
        let sum = FileManager.default.contents(atPath: sumPath).map { String(decoding: $0, as: UTF8.self) }
        guard sum == "\(FileHash.sha256(data))  \(VersionLayout.manifest)\n" else {
            throw AnnexError(.damaged, "is not the SHA-256 of \(VersionLayout.manifest)", at: sumPath, hint: Self.hint)
        }
        return try Manifest.decode(data, at: path)
    }

    private static func checkNothingElse(_ folder: String, _ expected: [String], withUsers: Bool) throws(AnnexError) {
        let known = Set(expected + [VersionLayout.manifest, VersionLayout.manifestSum, VersionLayout.report] + (withUsers ? [VersionLayout.users] : []))
        for (place, prefix) in [(folder, "")] + (withUsers ? [(folder + "/" + VersionLayout.users, VersionLayout.users + "/")] : []) {
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: place) else {
                throw AnnexError(.damaged, "cannot be listed", at: place, hint: Self.hint)
            }
            for name in names.sorted() where !known.contains(prefix + name) {
                throw AnnexError(.damaged, "is not listed in the manifest", at: place + "/" + Printable.escape(name), hint: "Remove it, or build again")
            }
        }
    }
}
