package import AnnexCore
import AnnexIndex
package import AnnexLinearAlgebra

/// Holds the facts of a version that the engine needs: those of its manifest, read and verified by whoever calls.
package struct VersionDescription: Sendable {
    /// Holds the paths of the parts, absolute or relative to the working folder.
    package struct Files: Sendable {
        package var index: String
        package var vectors: String
        /// The scan layout; nil where the version has none or FAISS is to search.
        package var serving: String?
        package var items: String
        /// Holds the folder of `00.lmdb` … `15.lmdb`; nil where the version has neither users nor histories.
        package var users: String?
        /// Holds the file that solving for users' vectors needs. It is nil where histories are not folded in.
        package var foldIn: String?

        package init(index: String, vectors: String, serving: String?, items: String, users: String?) {
            self.index = index
            self.vectors = vectors
            self.serving = serving
            self.items = items
            self.users = users
        }
    }

    package var index: EntryName
    package var version: EntryName
    package var kind: IndexKind
    package var metric: Metric
    /// Counts components of a vector as clients see it.
    package var dimension: Int
    /// Holds the bias of a biased model, whose rows have one component more. It is nil for all others.
    package var bias: ModelBias?
    package var itemCount: Int
    /// Counts users with a vector.
    package var userCount: Int
    /// Counts users with a trained history.
    package var historyCount = 0
    /// Holds the time up to which the histories go, in milliseconds since 1970. It is nil in versions without.
    package var trainedUntil: Int64?
    /// Says how users' vectors follow from histories. With nil they do not.
    package var foldIn: FoldInModel.Method?
    /// Returns the confidence that a weight of 1 has when a user's vector is solved for. It is nil where none is.
    package var weightScale: Double? { self.foldIn?.confidence }
    /// Returns the size up to which an event's weight is folded in. Clients' events are refused above it; others came
    /// into the state by the log, or under a version with a smaller alpha.
    package var weightLimit: Double { self.weightScale.map { Limits.maximumConfidence / $0 } ?? .infinity }
    /// The operating points that the build chose, for users' vectors and for items'; `exact` for a flat index.
    package var defaultEffort: DefaultEffort
    package var defaultItemEffort: SearchEffort
    /// Says how many items a query read on average at some values of kappa, ascending, as the build measured it. It is
    /// empty where that is unknown.
    package var readsByKappa: [(kappa: Double, items: Double)] = []
    /// Measured on the half of the held-out queries that did not choose the operating point; nil where unknown.
    package var measuredRecall: Double?
    /// Counts items that no walk over the graph's level-0 links reaches. It is nil without a graph.
    package var unreachableCount: Int?
    /// Counts the bytes of all files.
    package var totalBytes: Int
    package var files: Files

    package init(
        index: EntryName,
        version: EntryName,
        kind: IndexKind,
        metric: Metric,
        dimension: Int,
        itemCount: Int,
        userCount: Int,
        defaultEffort: DefaultEffort,
        defaultItemEffort: SearchEffort,
        measuredRecall: Double?,
        unreachableCount: Int?,
        totalBytes: Int,
        files: Files
    ) {
        self.index = index
        self.version = version
        self.kind = kind
        self.metric = metric
        self.dimension = dimension
        self.itemCount = itemCount
        self.userCount = userCount
        self.defaultEffort = defaultEffort
        self.defaultItemEffort = defaultItemEffort
        self.measuredRecall = measuredRecall
        self.unreachableCount = unreachableCount
        self.totalBytes = totalBytes
        self.files = files
    }

    /// - Throws: `.damaged` where a file holds another number of something than the manifest says.
    static func check(_ name: String, _ found: Int, _ expected: Int, _ path: String?) throws(AnnexError) {
        guard found != expected else { return }
        throw AnnexError(
            .damaged,
            "has \(found) \(name) where the manifest says \(expected)",
            at: path,
            hint: "Build the version again, or roll back"
        )
    }

    /// Counts the components of a stored row.
    package var storedDimension: Int { self.dimension + (self.bias == nil ? 0 : ModelBias.components) }

    /// The search parameter that trades speed for recall; nil where every search is exact.
    package var knob: IndexKind.Knob? { self.kind.knob(self.metric, withCodes: self.files.serving != nil) }

    /// Returns how many items a query reads on average, as was measured at this kappa or the next above it; nil above
    /// the table.
    package func itemsRead(kappa: Double) -> Double? {
        self.readsByKappa.first { $0.kappa >= kappa - 1e-6 }?.items
    }

    /// Returns the effort of a query that states none and leaves out `count` items.
    package func effort(leavingOut count: Int) -> SearchEffort {
        self.defaultEffort.leavingOut(count, of: self.itemCount)
    }

    /// Tells whether a query may state this effort: nothing is silently ignored.
    package func accepts(_ effort: SearchEffort) -> Bool {
        switch (effort, self.knob) {
        case (.exact, _), (.efSearch, .efSearch), (.nprobe, .nprobe), (.nprobe, .kappa): true
        case (.kappa, _): self.files.serving != nil && self.kind.scansClusters(self.metric)
        case (.efSearch, _), (.nprobe, _): false
        }
    }
}
