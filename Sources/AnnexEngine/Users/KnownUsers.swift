import AnnexCore
import AnnexLinearAlgebra
import AnnexStore

/// Holds the users of one version: trained vectors and histories, the state's changes, and the vectors that were solved
/// from both. All threads share it.
struct KnownUsers: Sendable {
    /// It is nil where the version has neither users nor histories.
    let store: UserStore?
    /// Solves for vectors from histories; nil where the version does not say how.
    let foldIn: FoldInModel?
    /// Keeps what users did since the build; nil where nothing does.
    let state: StateStore?
    /// Holds the time up to which trained histories go, in milliseconds since 1970. It is nil without histories.
    let trainedUntil: Int64?
    /// Holds the size up to which an event's weight is folded in.
    let weightLimit: Double
    /// Holds users as the state has changed them.
    let resolved = ResolvedUserCache()
    /// Caches the long histories among them, with their equations.
    let incremental: IncrementalFoldInCache
    let solves = SolveCount()

    /// Blocks: checks every user.
    ///
    /// - Throws: `AnnexError.damaged` where the files contradict the description.
    init(_ description: VersionDescription, _ state: StateStore?) throws(AnnexError) {
        let files = description.files
        self.state = state
        self.trainedUntil = description.trainedUntil
        self.weightLimit = description.weightLimit
        self.incremental = IncrementalFoldInCache(dimension: description.storedDimension)
        self.store = try files.users.map { folder throws(AnnexError) in
            try UserStore(folder: folder, dimension: description.storedDimension, itemCount: description.itemCount)
        }
        try VersionDescription.check("users", self.store?.count ?? 0, description.userCount, files.users)
        try VersionDescription.check("histories", self.store?.historyCount ?? 0, description.historyCount, files.users)
        self.foldIn = try files.foldIn.map { path throws(AnnexError) in
            try FoldInModel.load(path: path, dimension: description.storedDimension, bias: description.bias)
        }
        guard self.foldIn?.method == description.foldIn else {
            throw AnnexError(
                .damaged,
                "folds in otherwise than the manifest says",
                at: files.foldIn,
                hint: "Build the version again, or roll back"
            )
        }
    }
}
