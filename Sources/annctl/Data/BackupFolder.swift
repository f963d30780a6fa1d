import AnnexBuild
import AnnexCore
import Foundation

/// A folder of backups that are named by index and time: `shop-20261125T120000Z.backup`.
struct BackupFolder {
    private static let ending = ".backup"
    let path: String

    /// The file for a backup of an index that is made now.
    func file(of index: String, at time: Date = Date()) -> String {
        "\(self.path)/\(index)-\(VersionLayout.stamp(time))\(Self.ending)"
    }

    /// Makes the folder where it is not there.
    func make() throws {
        do { try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true) } catch {
            throw AnnexError(.system, "cannot make the folder: \(error.localizedDescription)", at: self.path)
        }
    }

    /// The backups of an index, oldest first.
    func files(of index: String) throws -> [String] {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: self.path) } catch {
            throw AnnexError(.system, "cannot be listed: \(error.localizedDescription)", at: self.path)
        }
        return names.filter { Self.time($0, of: index) != nil }.sorted().map { "\(self.path)/\($0)" }
    }

    /// Removes the backups of an index that are older than so many hours; the newest stays, however old it is.
    ///
    /// - Returns: what was removed.
    func prune(_ index: String, olderThanHours hours: Int, now: Date = Date()) throws -> [String] {
        let limit = now.addingTimeInterval(-Double(hours) * 3_600)
        var removed: [String] = []
        for path in try self.files(of: index).dropLast() {
            guard let time = Self.time(URL(fileURLWithPath: path).lastPathComponent, of: index), time < limit else {
                break
            }
            do { try FileManager.default.removeItem(atPath: path) } catch {
                throw AnnexError(.system, "cannot be removed: \(error.localizedDescription)", at: path)
            }
            removed.append(path)
        }
        return removed
    }

    /// The time in a backup's name; nil where it is none of the index's. Names of one index sort by it.
    private static func time(_ name: String, of index: String) -> Date? {
        guard name.hasPrefix(index + "-"), name.hasSuffix(Self.ending) else { return nil }
        return VersionLayout.time(ofStamp: name.dropFirst(index.count + 1).dropLast(Self.ending.count))
    }
}
