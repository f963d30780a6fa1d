import AnnexCore
package import AnnexEngine
package import AnnexWire

/// What commands about users, items and indexes mean: arguments in, one call of the engine, reply out.
///
/// One per event loop. A query runs right here unless its estimate is above the loop's budget; then it runs on a worker
/// thread with a context borrowed from the version.
package final class ShardHandler: CommandHandler {
    /// An index as this loop serves it.
    struct Lane {
        let version: ServedVersion
        let context: QueryContext
    }

    private let engine: Engine
    private var generation: Int
    /// When to try again to take over what the engine serves; nil where the last time worked.
    private var retry: ContinuousClock.Instant?
    private var lanes: [Lane] = []

    package init(engine: Engine) throws {
        self.engine = engine
        self.generation = engine.generation
        self.lanes = try Self.makeLanes(engine)
    }

    private static func makeLanes(_ engine: Engine) throws -> [Lane] {
        try engine.versions.map { Lane(version: $0, context: try QueryContext($0)) }
    }

    /// Takes over what the engine serves now. Called after each swap; also looked at before each command, by one atomic
    /// load.
    package func refresh() {
        let now = self.engine.generation
        guard now != self.generation, self.retry.map({ $0 <= .now }) ?? true else { return }
        do {
            self.lanes = try self.engine.versions.map { version in
                if let lane = self.lanes.first(where: { $0.version === version }) { return lane }
                return Lane(version: version, context: try QueryContext(version))
            }
            self.generation = now
            self.retry = nil
        } catch {
            // What was served before still is; the next try is not made by each command.
            self.retry = .now + .seconds(1)
        }
    }

    package func handle(
        _ id: CommandID,
        _ request: Request,
        connection: inout ConnectionState,
        reply: inout ReplyWriter
    ) -> Disposition {
        self.refresh()
        do throws(ArgumentFailure) {
            return try self.dispatch(id, request, connection, &reply)
        } catch {
            reply.error(error)
            return .done
        }
    }

    private func dispatch(
        _ id: CommandID,
        _ request: Request,
        _ connection: ConnectionState,
        _ reply: inout ReplyWriter
    ) throws(ArgumentFailure) -> Disposition {
        switch id {
        case .topk: return try self.recommend(Recommendation(try TopKArguments(request), request), &reply)
        case .mtopk: return try self.recommend(Recommendation(try MTopKArguments(request), request), &reply)
        case .score:
            let arguments = try ScoreArguments(request)
            let lane = try self.freshLane(request, name: arguments.index)
            let budget = WorkEstimate.loopBudgetNanos - Double(arguments.items.count) * WorkEstimate.nanosPerIdentifier
            if budget > 0,
                Self.here(&reply, { ScoreCommand.score(arguments, request, lane.context, budget: budget, &$0) })
            {
                return .done
            }
            return Self.onWorker(lane.version) {
                _ = ScoreCommand.score(arguments, request, $0, budget: .infinity, &$1)
            }
        case .event, .eventDelete, .forget:
            return EventCommands.record(try self.checked(id, request), request, connection)
        case .atomic:
            let changes = try self.checked(AtomicArguments(request).changes)
            return try EventCommands.record(together: changes, request, connection)
        case .waitpos: return try self.waitForPosition(request)
        case .seen, .explain, .whynot: return try self.aboutUser(id, request, &reply)
        case .vsim:
            let arguments = try VSimArguments(request)
            let lane = try self.lane(request, name: arguments.key)
            let effort = try VectorSetCommands.effort(arguments.effort, lane.version.description)
            let budget = WorkEstimate.loopBudgetNanos
            let isMade = Self.here(&reply) {
                VectorSetCommands.similar(arguments, effort, request, lane.context, budget: budget, &$0)
            }
            if isMade { return .done }
            return Self.onWorker(lane.version) {
                _ = VectorSetCommands.similar(arguments, effort, request, $0, budget: .infinity, &$1)
            }
        case .vrandmember:
            let arguments = try VRandMemberArguments(request)
            let lane = try self.lane(request, name: 1)
            let nanos = Double((arguments.count ?? 1).magnitude) * WorkEstimate.nanosPerMember
            return self.run(lane, nanos, &reply) { VectorSetCommands.randomMembers(arguments.count, $0, &$1) }
        case .vemb, .vdim, .vcard, .vinfo, .vismember, .vgetattr, .vlinks:
            let lane = try self.lane(request, name: 1)
            try VectorSetCommands.read(id, request, lane, self.engine, &reply)
        case .indexes: KeyspaceCommands.indexes(self.lanes.map(\.version), &reply)
        case .ready: ReadyCommand.write(self.lanes.map(\.version), &reply)
        case .dbsize: reply.integer(self.lanes.count)
        case .type: reply.simpleString(self.find(request, 1) == nil ? "none" : "vectorset")
        case .exists:
            let names = self.lanes.map(\.version.description.index.value)
            let nanos = Double(request.count) * WorkEstimate.nanosPerIdentifier
            return Self.run(nanos, &reply) { $0.integer(KeyspaceCommands.exists(names, request)) }
        case .scan:
            KeyspaceCommands.scan(try ScanArguments(request), request, self.lanes.map(\.version), &reply)
        case .memory: try self.memory(request, &reply)
        case .reload: return try self.reload(request)
        default: reply.error(code: .error, "this command is not served here")
        }
        return .done
    }

    package func batch(
        _ changes: [Request],
        connection: inout ConnectionState
    ) throws(ArgumentFailure) -> ChangeBatch {
        self.refresh()
        return try EventCommands.batch(self.checked(changes), connection)
    }

    private func checked(_ requests: [Request]) throws(ArgumentFailure) -> [CheckedChange] {
        var changes: [CheckedChange] = []
        changes.reserveCapacity(requests.count)
        for request in requests { changes.append(try self.checked(request)) }
        return changes
    }

    /// A request whose arity has been checked, and which is a change.
    private func checked(_ request: Request) throws(ArgumentFailure) -> CheckedChange {
        if request.matches(0, "EVENT") { return try self.checked(.event, request) }
        return try self.checked(request.matches(0, "FORGET") ? .forget : .eventDelete, request)
    }

    private func checked(_ id: CommandID, _ request: Request) throws(ArgumentFailure) -> CheckedChange {
        switch id {
        case .event:
            let arguments = try EventArguments(request)
            return try EventCommands.event(arguments, request, self.lane(request, name: arguments.index).context)
        case .eventDelete:
            let index = try NamedArguments(request, fixed: 3).index
            return try EventCommands.delete(request, self.lane(request, name: index).context)
        default:
            let index = try NamedArguments(request, fixed: 2).index
            return try EventCommands.forget(request, self.lane(request, name: index).context)
        }
    }

    private func waitForPosition(_ request: Request) throws(ArgumentFailure) -> Disposition {
        let arguments = try WaitPositionArguments(request)
        guard let lane = self.lanes.first(where: { $0.version.description.index == arguments.token.index }) else {
            throw ArgumentFailure(
                code: .noIndex,
                "'\(request.printable(2))' is a position of an index that is not served; there is: \(self.servedNames)"
            )
        }
        return try EventCommands.wait(arguments, lane.version)
    }

    private func aboutUser(
        _ id: CommandID,
        _ request: Request,
        _ reply: inout ReplyWriter
    ) throws(ArgumentFailure) -> Disposition {
        switch id {
        case .seen:
            let arguments = try ListArguments(request, fixed: 2, times: true)
            let lane = try self.freshLane(request, name: arguments.index)
            let limit = Int(WorkEstimate.loopBudgetNanos / WorkEstimate.nanosPerSeenItem)
            // Where even this cannot be read, the command says why.
            let nanos = (try? request.withIdentifier(1) { try lane.context.nanosToRead($0) }) ?? 0
            let mayFit = nanos <= WorkEstimate.loopBudgetNanos || arguments.count ?? .max <= limit
            let isMade =
                mayFit
                && Self.here(&reply) { InsightCommands.seen(arguments, request, lane.context, limit: limit, &$0) }
            if isMade { return .done }
            return Self.onWorker(lane.version) {
                _ = InsightCommands.seen(arguments, request, $0, limit: .max, &$1)
            }
        case .explain:
            let arguments = try ListArguments(request, fixed: 3, times: false)
            let lane = try self.freshLane(request, name: arguments.index)
            return self.run(lane, .infinity, &reply) { InsightCommands.explain(arguments, request, $0, &$1) }
        default:
            let arguments = try WhyNotArguments(request)
            let lane = try self.freshLane(request, name: arguments.options.index)
            try arguments.options.check(lane.version.description)
            return self.run(lane, .infinity, &reply) { InsightCommands.whyNot(arguments, request, $0, &$1) }
        }
    }

    /// Answers here what fits the loop's budget, and elsewhere the rest. What the client names is looked up once.
    private func recommend(
        _ recommendation: Recommendation,
        _ reply: inout ReplyWriter
    ) throws(ArgumentFailure) -> Disposition {
        let options = recommendation.options
        let lane = try self.freshLane(recommendation.request, name: options.index)
        try options.check(lane.version.description)
        let left = WorkEstimate.loopBudgetNanos - recommendation.leastNanos
        guard left > 0 else {
            return Self.onWorker(lane.version) { context, reply in
                do throws(ArgumentFailure) {
                    let query = try RecommendationQuery(options, k: recommendation.k, recommendation.request, context)
                    _ = recommendation.answer(query, context, &reply)
                } catch { reply.error(error) }
            }
        }
        var query = try RecommendationQuery(options, k: recommendation.k, recommendation.request, lane.context)
        query.user.budgetNanos = left / Double(recommendation.users.count)
        let start = reply.position
        var next: Int?
        let fits = reply.write(within: WorkEstimate.loopReplyBytes) {
            next = recommendation.answer(query, lane.context, &$0)
        }
        if fits, next == nil { return .done }
        query.user.budgetNanos = .infinity
        let whole = query
        // The answers that there are go along: nobody is searched for twice, but the one who turned out to cost too much.
        let first = fits ? next ?? recommendation.users.lowerBound : recommendation.users.lowerBound
        let made = first == recommendation.users.lowerBound ? nil : reply.copy(from: start)
        reply.rewind(to: start)
        return Self.onWorker(lane.version) { context, reply in
            let start = reply.position
            if let made { reply.encoded(made) }
            _ = recommendation.answer(whole, context, from: first, start: start, &reply)
        }
    }

    // MARK: Where a query runs

    /// Makes a reply here. False where it takes too long, as `body` says, or gets too large: nothing is written then.
    private static func here(_ reply: inout ReplyWriter, _ body: (inout ReplyWriter) -> Bool) -> Bool {
        let start = reply.position
        var isMade = false
        let fits = reply.write(within: WorkEstimate.loopReplyBytes) { isMade = body(&$0) }
        if !isMade { reply.rewind(to: start) }
        return fits && isMade
    }

    /// Runs `body` here, or on a worker thread with another context.
    private func run(
        _ lane: Lane,
        _ nanos: Double,
        _ reply: inout ReplyWriter,
        _ body: @escaping @Sendable (QueryContext, inout ReplyWriter) -> Void
    ) -> Disposition {
        let isShort = nanos <= WorkEstimate.loopBudgetNanos
        let isMade = isShort && reply.write(within: WorkEstimate.loopReplyBytes) { body(lane.context, &$0) }
        return isMade ? .done : Self.onWorker(lane.version, body)
    }

    /// The same for what needs no version.
    private static func run(
        _ nanos: Double,
        _ reply: inout ReplyWriter,
        _ body: @escaping @Sendable (inout ReplyWriter) -> Void
    ) -> Disposition {
        guard nanos <= WorkEstimate.loopBudgetNanos else { return .elsewhere(.query) { reply, _ in body(&reply) } }
        body(&reply)
        return .done
    }

    /// Runs `body` on a worker thread, with a context of its own.
    private static func onWorker(
        _ version: ServedVersion,
        _ body: @escaping @Sendable (QueryContext, inout ReplyWriter) -> Void
    ) -> Disposition {
        .elsewhere(.query) { reply, stop in
            do throws(AnnexError) {
                let context = try version.borrowContext(stop: stop)
                body(context, &reply)
                version.giveBack(context)
            } catch {
                reply.error(code: .error, "\(error)")
            }
        }
    }

    // MARK: Which index

    private func find(_ request: Request, _ position: Int) -> Lane? {
        request.withArgument(position) { bytes in
            self.lanes.first { $0.version.description.index.value.utf8.elementsEqual(bytes) }
        }
    }

    /// The index named at a position, or the only one.
    private func lane(_ request: Request, name position: Int?) throws(ArgumentFailure) -> Lane {
        guard let position else {
            guard self.lanes.count == 1 else {
                throw ArgumentFailure(
                    code: .noIndex,
                    "several indexes are served; add INDEX and one of: \(self.servedNames)"
                )
            }
            return self.lanes[0]
        }
        guard let lane = self.find(request, position) else {
            throw ArgumentFailure(
                code: .noIndex,
                "no index '\(request.printable(position))' is served; there is: \(self.servedNames)"
            )
        }
        return lane
    }

    /// The same, for reads of users: refused where this replica is too far behind the log. One atomic load.
    private func freshLane(_ request: Request, name position: Int?) throws(ArgumentFailure) -> Lane {
        let lane = try self.lane(request, name: position)
        if let staleness = lane.version.log?.staleness { throw ArgumentFailure(code: .masterDown, staleness) }
        return lane
    }

    private var servedNames: String {
        self.lanes.map(\.version.description.index.value).joined(separator: ", ")
    }

    // MARK: Administration

    private func memory(_ request: Request, _ reply: inout ReplyWriter) throws(ArgumentFailure) {
        guard request.matches(1, "USAGE") else {
            throw ArgumentFailure("unknown subcommand '\(request.printable(1))'. Try MEMORY HELP.")
        }
        let arguments = try MemoryUsageArguments(request)
        guard let lane = self.find(request, arguments.key) else { return reply.null() }
        reply.integer(lane.version.totalBytes)
    }

    private func reload(_ request: Request) throws(ArgumentFailure) -> Disposition {
        let arguments = try ReloadArguments(request)
        let index = try self.lane(request, name: arguments.index).version.description.index
        var version: EntryName?
        if let position = arguments.version {
            guard let name = EntryName(request.string(position)) else {
                throw ArgumentFailure(
                    "'\(request.printable(position))' is no version's name; INDEXES and `annctl list` show them"
                )
            }
            version = name
        }
        let engine = self.engine
        let wanted = version
        return .pending(bytes: request.heldBytes) { promise in
            engine.reload(index, version: wanted) { result in
                promise.fulfil { reply in
                    switch result {
                    case .success(let served): reply.simpleString(served.value)
                    case .failure(let error):
                        reply.error(code: .error, "RELOAD failed, the version before is still served: \(error)")
                    }
                }
            }
        }
    }
}
