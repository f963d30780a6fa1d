package import AnnexBuild
package import AnnexCore
package import AnnexEngine
package import AnnexStore

/// Says which code searches a version.
package enum SearchEngine: String, Sendable, CaseIterable {
    /// Annex's own scan and walk, over `serving.bin` and FAISS's graph.
    case annex
    /// FAISS's search over `index.faiss`, as a reference.
    case faiss
}

/// Makes a served version of files on disk: the one place where the manifest's facts become the engine's.
package enum VersionLoading {
    /// Loads and warms a verified version, then looks whether its files are still the ones that were verified.
    ///
    /// - Parameters:
    ///   - name: what clients call the index: the folder's name, which a copy may have changed.
    ///   - state: what users did since; nil keeps nothing.
    ///   - log: of the state; nil where this server alone orders changes.
    ///   - serves: whether clients will ask it. Its searches are timed then, which a build's check has no use for.
    package static func load(
        _ verified: VerifiedVersion,
        as name: EntryName? = nil,
        engine: SearchEngine = .annex,
        state: StateStore? = nil,
        log: (any ReplicatedLog)? = nil,
        serves: Bool = false
    ) throws(AnnexError) -> ServedVersion {
        let manifest = verified.manifest
        let folder = verified.folder
        guard let index = name ?? EntryName(manifest.index), let metric = Metric(rawValue: manifest.metric),
            let kind = manifest.parsedKind
        else {
            let hint = "Build the version again, or `annctl rollback`"
            throw AnnexError(.damaged, "has impossible values", at: folder + "/" + VersionLayout.manifest, hint: hint)
        }
        var description = VersionDescription(
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
            unreachableCount: manifest.measured.linksAdded == nil ? manifest.measured.unreachableItems : 0,
            totalBytes: manifest.files.reduce(0) { $0 + $1.bytes },
            files: .init(
                index: folder + "/" + VersionLayout.index,
                vectors: folder + "/" + VersionLayout.vectors,
                serving: folder + "/" + VersionLayout.serving,
                items: folder + "/" + VersionLayout.items,
                users: manifest.hasUsers ? folder + "/" + VersionLayout.users : nil
            )
        )
        description.bias = manifest.bias?.model
        description.historyCount = manifest.histories ?? 0
        description.trainedUntil = manifest.trainedUntil
        description.foldIn = manifest.foldIn?.parsedMethod
        if manifest.foldIn != nil { description.files.foldIn = folder + "/" + VersionLayout.foldIn }
        let points = manifest.measured.table + (manifest.measuredLeavingOut.map { [$0.point] } ?? [])
        description.readsByKappa = points.compactMap { point in
            point.knob == "kappa" ? point.itemsRead.map { (kappa: point.value, items: $0) } : nil
        }
        if engine == .faiss { Self.leaveToFaiss(&description) }
        let served = try ServedVersion(loading: description, state: state, log: log, timesSearches: serves)
        try served.warm()
        try verified.confirmUnchanged()
        return served
    }

    /// Checks what must hold before a version becomes current: it loads as `serve` loads it, and answers.
    package static func prove(_ verified: VerifiedVersion) throws(AnnexError) { _ = try Self.load(verified) }

    /// FAISS knows no kappa: an eighth of the lists stands in for it, and the recall of that was not measured.
    private static func leaveToFaiss(_ description: inout VersionDescription) {
        description.files.serving = nil
        guard case .ivf(let lists) = description.kind.family else { return }
        if case .kappa = description.defaultEffort.plain {
            description.defaultEffort = DefaultEffort(.nprobe(max(1, lists / 8)))
            description.measuredRecall = nil
        }
        if case .kappa = description.defaultItemEffort { description.defaultItemEffort = .nprobe(max(1, lists / 8)) }
    }
}
