package import AnnexCore
import Foundation
import Synchronization

/// Stands for a version whose every byte was compared with its manifest.
package struct VerifiedVersion: Sendable {
    package let indexFolder: String
    package let version: EntryName
    package let manifest: Manifest
    /// Its files lie in this folder: among the versions, or that of a build.
    package let folder: String
    fileprivate let marks: [FileMark]

    /// Looks whether every file is the one that was verified: call it once all is loaded, so that what was changed in
    /// between is noticed. O(files); what may stay unnoticed is told at `FileMark`.
    ///
    /// What is loaded by copy (index, ids) is safe from later changes. `vectors.f32` and the LMDB files stay mapped: a
    /// program that cuts or rewrites them in place afterwards, which nothing of Annex does, can stop the server.
    package func confirmUnchanged() throws(AnnexError) {
        for mark in self.marks where try FileMark(mark.path) != mark {
            throw AnnexError(
                .damaged,
                "was changed while it was being loaded",
                at: mark.path,
                hint: "Versions are immutable: build a new one"
            )
        }
    }
}

package enum Verifier {
    private static let hint = "Build the version again, or go back with `annctl rollback`"
    /// So many files are hashed at the same time. The threads have the caller's priority: a server hashes at niceness
    /// 10, where each of them gets a tenth of what a thread that answers clients gets from a processor that both want.
    private static let workers = 2

    /// Checks every byte that the manifest covers, and that nothing else lies there. O(bytes), on two threads; blocks.
    ///
    /// `report.json` is not covered: it may be missing or say anything, but it must be a file.
    /// - Throws: `.damaged` or `.notFound`, naming the file.
    package static func verify(indexFolder: String, version: EntryName? = nil) throws(AnnexError) -> VerifiedVersion {
        let name: EntryName
        if let version { name = version } else { name = try PublishedVersions.requiredCurrent(of: indexFolder) }
        return try Self.verify(PublishedVersions.folder(of: indexFolder, name), as: name, of: indexFolder)
    }

    /// Checks files in a folder that has another name, as a build's has before it is published.
    static func verify(
        _ folder: String,
        as name: EntryName,
        of indexFolder: String
    ) throws(AnnexError) -> VerifiedVersion {
        var status = stat()
        guard unsafe lstat(folder, &status) == 0 else {
            guard errno == ENOENT || errno == ENOTDIR else {
                throw PublishedVersions.unreadable("cannot be looked at", folder, errno)
            }
            throw AnnexError(
                .notFound,
                "there is no version \(name)",
                at: indexFolder,
                hint: "See `annctl list \(indexFolder)`, or build one with `annctl build`"
            )
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw Self.damaged("is not a folder", folder) }

        let read = try Self.read(folder)
        guard VersionLayout.time(ofVersion: name.value) != nil, name.value.hasSuffix("-" + read.hash.prefix(8)) else {
            throw Self.damaged("the folder's name is not that of its content", folder)
        }
        let listed = read.manifest.files
        try Self.checkTree(folder, Set(listed.map(\.path)), withUsers: read.manifest.hasUsers)
        for entry in listed {
            let path = folder + "/" + entry.path
            let bytes = try Self.hinted { () throws(AnnexError) in try FileMark(path).bytes }
            guard bytes == entry.bytes else {
                throw Self.damaged("has \(bytes) bytes, the manifest says \(entry.bytes)", path)
            }
        }
        let marks = try Self.compare(listed, in: folder)
        return VerifiedVersion(
            indexFolder: indexFolder,
            version: name,
            manifest: read.manifest,
            folder: folder,
            marks: read.marks + marks
        )
    }

    /// Reads the manifest after comparing it with `manifest.sha256`.
    ///
    /// - Throws: `.damaged`.
    package static func manifest(_ folder: String) throws(AnnexError) -> Manifest { try Self.read(folder).manifest }

    // MARK: Steps

    private static func damaged(_ what: String, _ path: String) -> AnnexError {
        AnnexError(.damaged, what, at: path, hint: Self.hint)
    }

    /// Gives errors without advice the advice of this check.
    private static func hinted<R>(_ body: () throws(AnnexError) -> R) throws(AnnexError) -> R {
        do throws(AnnexError) { return try body() } catch {
            throw AnnexError(error.code, error.message, at: error.location, hint: error.hint ?? Self.hint)
        }
    }

    private static func read(_ folder: String) throws(AnnexError) -> (
        manifest: Manifest, hash: String, marks: [FileMark]
    ) {
        let path = folder + "/" + VersionLayout.manifest
        let sumPath = folder + "/" + VersionLayout.manifestSum
        return try Self.hinted { () throws(AnnexError) in
            let marks = [try FileMark(path), try FileMark(sumPath)]
            let data = try FileSystem.contents(path, limitBytes: Manifest.limitBytes)
            let sum = try FileSystem.contents(sumPath, limitBytes: 256)
            let hash = FileHash.sha256(data)
            guard sum.elementsEqual("\(hash)  \(VersionLayout.manifest)\n".utf8) else {
                throw AnnexError(.damaged, "is not the SHA-256 of \(VersionLayout.manifest)", at: sumPath)
            }
            return (try Manifest.decode(data, at: path), hash, marks)
        }
    }

    /// Every name in the folder must be a known one and of its kind: a file, or the folder of users, and no link.
    private static func checkTree(_ folder: String, _ listed: Set<String>, withUsers: Bool) throws(AnnexError) {
        let known = listed.union([VersionLayout.manifest, VersionLayout.manifestSum, VersionLayout.report])
        let users = folder + "/" + VersionLayout.users
        for (location, prefix) in [(folder, "")] + (withUsers ? [(users, VersionLayout.users + "/")] : []) {
            var status = stat()
            guard unsafe lstat(location, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
                throw Self.damaged("is missing, or is no folder", location)
            }
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: location) else {
                throw Self.damaged("cannot be listed", location)
            }
            for name in names.sorted() where !(location == folder && withUsers && name == VersionLayout.users) {
                guard known.contains(prefix + name) else {
                    throw AnnexError(
                        .damaged,
                        "is not listed in the manifest",
                        at: location + "/" + Printable.escape(name),
                        hint: "Remove it, or build again"
                    )
                }
                _ = try Self.hinted { () throws(AnnexError) in try FileMark(location + "/" + name) }
            }
        }
    }

    /// Hashes the files, big ones first so that the threads end together. Of several damaged ones the first listed is
    /// named. Returns the marks of the files that were read.
    private static func compare(_ listed: [Manifest.FileEntry], in folder: String) throws(AnnexError) -> [FileMark] {
        let order = listed.indices.sorted { listed[$0].bytes > listed[$1].bytes }
        let run = Comparison(count: listed.count)
        SiblingThreads.run(Self.workers) {
            while true {
                let turn = run.next.add(1, ordering: .relaxed).oldValue
                guard turn < order.count else { return }
                let result = Self.compare(listed[order[turn]], folder)
                run.results.withLock { $0[order[turn]] = result }
            }
        }
        var marks: [FileMark] = []
        for result in run.results.withLock({ $0 }) { if let mark = try result?.get() { marks.append(mark) } }
        return marks
    }

    /// Holds what the threads of one comparison share.
    private final class Comparison: Sendable {
        let next = Atomic<Int>(0)
        let results: Mutex<[Result<FileMark, AnnexError>?]>

        init(count: Int) { self.results = Mutex([Result<FileMark, AnnexError>?](repeating: nil, count: count)) }
    }

    private static func compare(_ entry: Manifest.FileEntry, _ folder: String) -> Result<FileMark, AnnexError> {
        let path = folder + "/" + entry.path
        return Result { () throws(AnnexError) in
            let (hex, mark) = try Self.hinted { () throws(AnnexError) in try FileHash.marked(path) }
            guard hex == entry.sha256, mark.bytes == entry.bytes else {
                throw Self.damaged("its SHA-256 is not that of the manifest", path)
            }
            return mark
        }
    }
}
