import AnnexCore
import AnnexEngine
import AnnexWire

/// Makes a query of the options of TOPK, MTOPK and WHYNOT.
extension RecommendationQuery {
    /// Looks up what the client names: unknown items of `EXCLUDE` cannot be answers, those of `HISTORY` say nothing in this
    /// version. O(named items).
    ///
    /// - Throws: where no item of `HISTORY` is known.
    init(
        _ options: QueryOptions,
        k: Int,
        _ request: Request,
        _ context: QueryContext
    ) throws(ArgumentFailure) {
        var user = UserRequest(leavesOutSeen: !options.withSeen)
        user.excluded.reserveCapacity(options.exclude.count)
        for item in options.exclude {
            if let ordinal = request.withIdentifier(item, { context.ordinal(of: $0) }) { user.excluded.append(ordinal) }
        }
        if let history = options.history { user.session = try Self.session(history, options, request, context) }
        self.init(k: k, effort: options.effort, user: user, withAttributes: options.withAttributes)
    }

    private static func session(
        _ history: Range<Int>,
        _ options: QueryOptions,
        _ request: Request,
        _ context: QueryContext
    ) throws(ArgumentFailure) -> [HistoryItem] {
        var session: [HistoryItem] = []
        session.reserveCapacity(history.count)
        for (offset, index) in history.enumerated() {
            guard let ordinal = request.withIdentifier(index, { context.ordinal(of: $0) }) else { continue }
            var weight = 1.0
            if let weights = options.weights { weight = try request.weight(weights.lowerBound + offset) }
            session.append(HistoryItem(ordinal: ordinal, weight: weight))
        }
        guard session.isEmpty, !history.isEmpty else { return session }
        throw ArgumentFailure(
            code: .noItem,
            "none of the \(history.count) items of HISTORY is in index '\(context.version.description.index)': check the ids"
        )
    }
}

extension QueryOptions {
    /// Estimates how long looking up what the client names takes, in nanoseconds. It is known from the request alone.
    var nanosToResolve: Double {
        Double(self.exclude.count + (self.history?.count ?? 0)) * WorkEstimate.nanosPerIdentifier
    }

    /// A stated effort must be one that the index has, and a history needs a version that folds in: none is silently
    /// ignored.
    func check(_ version: VersionDescription) throws(ArgumentFailure) {
        if self.history != nil, version.foldIn == nil {
            throw ArgumentFailure(
                "HISTORY needs a version that folds in, index '\(version.index)' has none: build it with --fold-in als or "
                    + "ridge"
            )
        }
        guard let stated = self.effort, !version.accepts(stated) else { return }
        let why =
            switch stated {
            case .efSearch: "EF is for graphs"
            case .nprobe: "NPROBE is for inverted files"
            case .kappa: "KAPPA is for inverted files on ip and cosine"
            case .exact: "TRUTH is for all"
            }
        throw ArgumentFailure("\(why), index '\(version.index)' is \(version.kind): leave it out")
    }
}
