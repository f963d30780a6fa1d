package import AnnexCore
import Foundation

package enum IndexFolder {
    /// The name of an index is that of its folder.
    ///
    /// - Throws: `.usage` where the folder's name is none that an index can have.
    package static func name(of folder: String) throws(AnnexError) -> EntryName {
        let last = URL(fileURLWithPath: folder).standardizedFileURL.lastPathComponent
        let isPlain = folder.split(separator: "/").last != ".."
        guard isPlain, let name = EntryName(last) else {
            throw AnnexError(
                .usage,
                "'\(Printable.escape(isPlain ? last : folder))' is no index name",
                at: Printable.escape(folder),
                hint: "Names are of [A-Za-z0-9][A-Za-z0-9._-]{0,63}"
            )
        }
        return name
    }

    /// Returns the names of several folders, in the same order.
    ///
    /// - Throws: `.usage` where two are equal, as clients tell indexes apart by their names.
    static func names(of folders: [String]) throws(AnnexError) -> [EntryName] {
        var names: [EntryName] = []
        for folder in folders {
            let name = try Self.name(of: folder)
            guard !names.contains(name) else {
                throw AnnexError(
                    .usage,
                    "two indexes are named '\(name)'",
                    at: folder,
                    hint: "Folders must differ in name"
                )
            }
            names.append(name)
        }
        return names
    }
}
