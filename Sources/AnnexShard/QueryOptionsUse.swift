import AnnexCore
import AnnexEngine
import AnnexWire

/// Why a query gives no answer.
enum QueryFailure: Error {
    case refused(ArgumentFailure)
    case failed(AnnexError)

    var failure: ArgumentFailure {
        switch self {
        case .refused(let failure): failure
        case .failed(let error): ArgumentFailure("\(error)")
        }
    }
}

/// What the options of TOPK, MTOPK and WHYNOT make of a search.
enum QueryOptionsUse {
    /// A stated effort must be one that the index has, and a history needs a version that folds in: none is silently
    /// ignored.
    static func check(_ options: QueryOptions, _ version: VersionDescription) throws(ArgumentFailure) {
        if options.history != nil, version.foldIn == nil {
            throw ArgumentFailure(
                "HISTORY needs a version that folds in, index '\(version.index)' has none: build it with --fold-in als or "
                    + "ridge"
            )
        }
        guard let stated = options.effort, !version.accepts(stated) else { return }
        let why =
            switch stated {
            case .efSearch: "EF is for graphs"
            case .nprobe: "NPROBE is for inverted files"
            case .kappa: "KAPPA is for inverted files on ip and cosine"
            case .exact: "TRUTH is for all"
            }
        throw ArgumentFailure("\(why), index '\(version.index)' is \(version.kind): leave it out")
    }

    /// Takes over what to leave out and what to fold in. Unknown items of `EXCLUDE` cannot be answers, those of `HISTORY`
    /// say nothing in this version.
    static func begin(
        _ options: QueryOptions,
        _ request: Request,
        _ context: QueryContext,
        budget: Double
    ) throws(QueryFailure) -> UserWish {
        context.clearListed()
        for item in options.exclude {
            if let ordinal = request.withArgument(item, { context.ordinal(of: $0) }) { context.leaveOut(ordinal) }
        }
        var wish = UserWish(leavesOutSeen: !options.withSeen, budgetNanos: budget)
        if let history = options.history { wish.session = try Self.session(history, options, request, context) }
        return wish
    }

    private static func session(
        _ history: Range<Int>,
        _ options: QueryOptions,
        _ request: Request,
        _ context: QueryContext
    ) throws(QueryFailure) -> [SessionItem] {
        var session: [SessionItem] = []
        session.reserveCapacity(history.count)
        for (place, position) in history.enumerated() {
            guard let ordinal = request.withArgument(position, { context.ordinal(of: $0) }) else { continue }
            let weight = options.weights.map { request.double($0.lowerBound + place) ?? 1 } ?? 1
            session.append(SessionItem(ordinal: ordinal, weight: weight))
        }
        guard session.isEmpty, !history.isEmpty else { return session }
        throw .refused(
            ArgumentFailure(
                code: "NOITEM",
                "none of the \(history.count) items of HISTORY is in index '\(context.version.description.index)'"
            )
        )
    }

    static func useUser(
        _ request: Request,
        _ position: Int,
        _ wish: UserWish,
        _ context: QueryContext
    ) throws(QueryFailure) -> UserStanding {
        do {
            return try request.withArgument(position) { id in try context.useUser(id, wish) }
        } catch let error as AnnexError {
            throw .failed(error)
        } catch {
            throw .failed(AnnexError(.system, "\(error)"))
        }
    }

    /// The stated effort, or the version's for so many items left out.
    static func effort(_ options: QueryOptions, _ context: QueryContext) -> SearchEffort {
        options.effort ?? context.version.description.effort(leavingOut: context.excludedCount)
    }

    /// False where that would take longer than the budget.
    static func search(
        _ options: QueryOptions,
        _ k: Int,
        _ context: QueryContext,
        budget: Double
    ) throws(QueryFailure) -> Bool {
        let effort = Self.effort(options, context)
        let version = context.version.description
        let nanos = WorkEstimate.nanos(
            of: effort,
            k: k,
            excluded: context.excludedCount,
            attributeBytes: options.withAttributes ? context.version.bytesPerAttribute : 0,
            in: version
        )
        guard nanos <= budget else { return false }
        do throws(AnnexError) {
            _ = try context.search(k: k, effort: effort)
        } catch { throw .failed(error) }
        return true
    }
}
