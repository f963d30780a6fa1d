package import AnnexCore
import AnnexIndex
import Foundation

/// Finds which version is current: a link `current` leads to `versions/NAME`, or a tool that carries no links left a
/// file or a copy in its place.
extension PublishedVersions {
    /// Returns the version that `current` names; nil where there is none.
    ///
    /// Read is the link that a build makes, also where a tool made it absolute; a plain file with the same text, as Git on
    /// Windows and some archives leave it; and a folder that is a copy of a version that is there, as copying with links
    /// followed leaves it. A version is told by the SHA-256 of its manifest;
    /// of several with the same content it is the newest.
    ///
    /// - Throws: `.damaged` for anything else, `.system` where it may not be read.
    package static func current(of indexFolder: String) throws(AnnexError) -> EntryName? {
        let path = indexFolder + "/" + VersionLayout.current
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else {
            guard errno != ENOENT, errno != ENOTDIR else { return nil }
            throw Self.unreadable("cannot be looked at", path, errno)
        }
        let name: EntryName?
        let found: String
        switch status.st_mode & S_IFMT {
        case S_IFLNK: (name, found) = try Self.named(byLink: path, indexFolder)
        case S_IFREG: (name, found) = Self.named(byFile: path)
        case S_IFDIR:
            (name, found) = (try Self.named(byCopy: path, indexFolder), "is a folder, and no copy of a version")
        default: (name, found) = (nil, "is neither a link nor a file")
        }
        guard let name else { throw AnnexError(.damaged, found, at: path, hint: Self.hint(indexFolder)) }
        return name
    }

    /// Returns the version that `current` names, where there must be one.
    ///
    /// - Throws: `.notFound`, with what to do next.
    package static func requiredCurrent(of indexFolder: String) throws(AnnexError) -> EntryName {
        if let current = try Self.current(of: indexFolder) { return current }
        guard try !Self.versions(of: indexFolder).isEmpty else {
            throw AnnexError(.notFound, "there is no version", at: indexFolder, hint: "Build one with `annctl build`")
        }
        throw AnnexError(.notFound, "no version is current", at: indexFolder, hint: Self.hint(indexFolder))
    }

    /// Returns how to say which one it is.
    static func hint(_ indexFolder: String) -> String {
        "Say which version is current: annctl use \(indexFolder) VERSION; annctl list \(indexFolder) shows them"
    }

    static func unreadable(_ what: String, _ path: String, _ number: Int32) -> AnnexError {
        AnnexError(
            .system,
            "\(what): \(unsafe String(cString: strerror(number)))",
            at: path,
            hint: "Let the user who runs this read the index's folder and all in it: chmod, chown"
        )
    }

    private static func named(byLink path: String, _ indexFolder: String) throws(AnnexError) -> (EntryName?, String) {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = unsafe readlink(path, &buffer, buffer.count)
        guard count >= 0 else { throw Self.unreadable("cannot be read", path, errno) }
        let target = String(decoding: buffer[..<count], as: UTF8.self)
        let found = "leads to '\(Printable.escape(target))', not to a version"
        if let name = Self.name(in: target) { return (name, found) }
        guard let name = target.split(separator: "/").last.flatMap({ EntryName(String($0)) }),
            let there = Self.identity(path), there == Self.identity(Self.folder(of: indexFolder, name))
        else { return (nil, found) }
        return (name, found)
    }

    private static func named(byFile path: String) -> (EntryName?, String) {
        let data: Data
        do throws(AnnexError) { data = try FileSystem.contents(path, limitBytes: 256) } catch {
            return (nil, error.message)
        }
        let text = String(decoding: data, as: UTF8.self)
        let name = Self.name(in: text.trimmingCharacters(in: .whitespacesAndNewlines))
        return (name, "is a file that names no version: '\(Printable.escape(text, limit: 64))'")
    }

    private static func named(byCopy path: String, _ indexFolder: String) throws(AnnexError) -> EntryName? {
        func sum(_ folder: String) -> Data? {
            try? FileSystem.contents(folder + "/" + VersionLayout.manifestSum, limitBytes: 256)
        }
        guard let copied = sum(path) else { return nil }
        return try Self.versions(of: indexFolder).last { sum(Self.folder(of: indexFolder, $0)) == copied }
    }

    /// Reads `versions/NAME`.
    private static func name(in text: String) -> EntryName? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == VersionLayout.versions[...] else { return nil }
        return EntryName(String(parts[1]))
    }

    /// Returns which folder a path leads to; nil where there is none.
    private static func identity(_ path: String) -> [UInt64]? {
        var status = stat()
        guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
        return [UInt64(status.st_dev), UInt64(status.st_ino)]
    }
}
