import AnnexCore
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
    package static let items = "items.lmdb"
    package static let users = "users"
    package static let temporaryPrefix = ".tmp-"
    package static let lock = ".lock"

    /// Every file that a version has, and no other: `users/00.lmdb` … only where it has users.
    package static func files(withUsers: Bool) -> [String] {
        let users = withUsers ? (0..<Slot.blockCount).map { Self.users + "/" + ($0 < 10 ? "0" : "") + "\($0).lmdb" } : []
        return [Self.index, Self.items] + users + [Self.vectors]
    }

    /// `YYYYMMDDThhmmssZ-<8 hex of the content hash>`.
    package static func versionName(_ time: Date, contentHash: String) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "UTC")
        formatter.dateFormat = "yyyyMMdd'T'HHmmss'Z'"
        return formatter.string(from: time) + "-" + contentHash.prefix(8)
    }
}
