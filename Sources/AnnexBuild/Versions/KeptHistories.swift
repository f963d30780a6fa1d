package import AnnexCore
import AnnexStore

/// Reads the trained histories of all versions of an index that are on the disk: what each of them holds needs no event
/// any more. One thread uses it.
package final class KeptHistories {
    private struct Version {
        let cut: Int64?
        let items: ItemReader
        let users: UserReader?
        /// Held for the readers.
        let stores: (ItemStore, UserStore?)
    }

    private let versions: [Version]

    /// Verifies and opens every version. O(bytes of all versions); blocks.
    ///
    /// - Throws: `.notFound` where there is no version; `.damaged` where one is.
    package init(of indexFolder: String) throws(AnnexError) {
        let names = try PublishedVersions.versions(of: indexFolder)
        guard !names.isEmpty else {
            throw AnnexError(.notFound, "there is no version", at: indexFolder, hint: "Build one with `annctl build`")
        }
        var versions: [Version] = []
        for name in names {
            let verified = try Verifier.verify(indexFolder: indexFolder, version: name)
            versions.append(try Self.open(verified))
        }
        self.versions = versions
    }

    private static func open(_ verified: VerifiedVersion) throws(AnnexError) -> Version {
        let manifest = verified.manifest
        let items = try ItemStore(path: verified.folder + "/" + VersionLayout.items)
        var users: UserStore?
        if manifest.hasUsers {
            let components = manifest.dimension + (manifest.bias == nil ? 0 : ModelBias.components)
            users = try UserStore(
                folder: verified.folder + "/" + VersionLayout.users,
                dimension: components,
                itemCount: manifest.items
            )
        }
        return Version(
            cut: manifest.trainedUntil,
            items: try items.makeReader(),
            users: try users.map { users throws(AnnexError) in try users.makeReader() },
            stores: (items, users)
        )
    }

    /// Returns the earliest time up to which the histories of a version go. It is nil where no version has any.
    package var cut: Int64? { self.versions.compactMap(\.cut).min() }

    /// Tells whether a user's trained history has the item in every version. O(log history) for each.
    package func hold(_ user: Span<UInt8>, _ item: Span<UInt8>) -> Bool {
        self.versions.allSatisfy { version in
            guard version.cut != nil, let ordinal = version.items.ordinal(of: item) else { return false }
            return version.users?.withHistory(of: user) { $0?.has(ordinal) ?? false } ?? false
        }
    }
}
