package import AnnexCore
package import Foundation

/// Names of files and folders of an index.
package enum VersionLayout {
    package static let versions = "versions"
    package static let current = "current"
    package static let manifest = "manifest.json"
    package static let manifestSum = "manifest.sha256"
    package static let report = "report.json"
    package static let index = "index.faiss"
    package static let vectors = "vectors.f32"
    package static let serving = "serving.bin"
    package static let foldIn = "foldin.bin"
    package static let items = "items.lmdb"
    package static let users = "users"
    /// Files with this prefix are used by nobody, and removed by the next build.
    package static let temporaryPrefix = ".tmp-"
    /// Held by a build from its beginning to its end.
    package static let lock = ".lock"
    /// Held while versions appear or go and while `current` moves.
    package static let catalogueLock = ".catalogue-lock"

    /// Lists every file that a version has, and no other: `users/00.lmdb` … only where it has users or histories,
    /// `foldin.bin` only where histories are folded in.
    package static func files(withUsers: Bool, withFoldIn: Bool = false) -> [String] {
        let users =
            withUsers ? (0..<Slot.blockCount).map { Self.users + "/" + ($0 < 10 ? "0" : "") + "\($0).lmdb" } : []
        return (withFoldIn ? [Self.foldIn] : []) + [Self.index, Self.items, Self.serving] + users
            + [Self.vectors]
    }

    /// Makes `YYYYMMDDThhmmssZ-<8 hex of the content hash>`.
    package static func versionName(_ time: Date, contentHash: String) -> String {
        Self.stamp(time) + "-" + contentHash.prefix(8)
    }

    /// Writes `YYYYMMDDThhmmssZ`. Names that begin with it sort by time.
    package static func stamp(_ time: Date) -> String { Self.formatter().string(from: time) }

    /// Returns the time that `stamp` gave; nil for what is none.
    package static func time(ofStamp text: Substring) -> Date? {
        let digits = Array(text.utf8)
        guard digits.count == 16, digits[..<8].allSatisfy(Self.isDigit), digits[9..<15].allSatisfy(Self.isDigit) else {
            return nil
        }
        return Self.formatter().date(from: String(text))
    }

    /// Returns the time in a version's name; nil for what is no version's name.
    package static func time(ofVersion name: String) -> Date? {
        guard name.utf8.count == 25, name.utf8.dropFirst(16).first == UInt8(ascii: "-"),
            name.utf8.suffix(8).allSatisfy({ Self.isDigit($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) })
        else { return nil }
        return Self.time(ofStamp: name.prefix(16))
    }

    /// Returns the path of the list of rows that a build left out. It lies beside `versions`, in the index's folder.
    package static func rejects(_ version: EntryName) -> String { "rejects-\(version.value).jsonl" }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func formatter() -> DateFormatter {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "UTC")
        formatter.dateFormat = "yyyyMMdd'T'HHmmss'Z'"
        formatter.isLenient = false
        return formatter
    }
}
