import AnnexBuild
import AnnexCore
import AnnexEngine

/// From files on disk to a served version: the one place where the manifest's facts become the engine's.
enum VersionLoading {
    /// Loads and warms a verified version, then looks whether its files are still the ones that were verified.
    ///
    /// - Parameter name: what clients call the index: the folder's name, which a copy may have changed.
    static func load(_ verified: VerifiedVersion, as name: EntryName? = nil) throws(AnnexError) -> ServedVersion {
        let manifest = verified.manifest
        let folder = verified.folder
        guard let index = name ?? EntryName(manifest.index), let metric = Metric(rawValue: manifest.metric),
            let kind = manifest.parsedKind
        else { throw AnnexError(.damaged, "has impossible values", at: folder + "/" + VersionLayout.manifest) }
        let served = try ServedVersion(
            loading: VersionDescription(
                index: index,
                version: verified.version,
                kind: kind,
                metric: metric,
                dimension: manifest.dimension,
                itemCount: manifest.items,
                userCount: manifest.users,
                defaultEffort: manifest.defaultEffort,
                defaultItemEffort: manifest.defaultItemEffort,
                measuredRecall: manifest.measured.reportedRecall,
                unreachableCount: manifest.measured.unreachableItems,
                totalBytes: manifest.files.reduce(0) { $0 + $1.bytes },
                files: .init(
                    index: folder + "/" + VersionLayout.index,
                    vectors: folder + "/" + VersionLayout.vectors,
                    serving: manifest.hasServingFile ? folder + "/" + VersionLayout.serving : nil,
                    items: folder + "/" + VersionLayout.items,
                    users: manifest.users > 0 ? folder + "/" + VersionLayout.users : nil
                )
            )
        )
        try served.warm()
        try verified.confirmUnchanged()
        return served
    }
}
