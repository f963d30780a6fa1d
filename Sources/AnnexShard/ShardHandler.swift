import AnnexCore
package import AnnexEngine
package import AnnexWire

/// Carries out commands about users, items and indexes: arguments in, one call of the engine, reply out.
///
/// One per event loop. A query runs right here unless its estimate is above the loop's budget; then it runs on a worker
/// thread with a context borrowed from the version.
package final class ShardHandler: CommandHandler {
    /// An index as this loop serves it.
    struct Lane {
        let version: ServedVersion
        let context: QueryContext
    }

    let engine: Engine
    private var generation: Int
    /// The time to try again to take over what the engine serves; nil where the last time worked.
    private var retry: ContinuousClock.Instant?
    private(set) var lanes: [Lane] = []

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
        _ id: HandlerCommand,
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
        _ id: HandlerCommand,
        _ request: Request,
        _ connection: ConnectionState,
        _ reply: inout ReplyWriter
    ) throws(ArgumentFailure) -> Disposition {
        switch id {
        case .topk: return try self.topk(request, &reply)
        case .mtopk: return try self.mtopk(request, &reply)
        case .score: return try self.score(request, &reply)
        case .seen: return try self.seen(request, &reply)
        case .explain: return try self.explain(request, &reply)
        case .whynot: return try self.whyNot(request, &reply)
        case .event: return try self.change(.event, request, connection)
        case .eventDelete: return try self.change(.remove, request, connection)
        case .forget: return try self.change(.forget, request, connection)
        case .atomic: return try self.atomic(request, connection)
        case .waitpos: return try self.waitForPosition(request)
        case .vsim: return try self.similar(request, &reply)
        case .vrandmember: return try self.randomMembers(request, &reply)
        case .vemb: try self.embedding(request, &reply)
        case .vlinks: try self.links(request, &reply)
        case .vdim: reply.integer(try self.lane(request, name: 1).version.description.dimension)
        case .vcard: reply.integer(try self.lane(request, name: 1).version.description.itemCount)
        case .vinfo: VersionInfo.write(try self.lane(request, name: 1).version, self.engine, &reply)
        case .vismember: reply.boolean(try self.element(request).ordinal != nil)
        case .vgetattr: try self.attributes(request, &reply)
        case .indexes: self.indexes(&reply)
        case .ready: self.ready(&reply)
        case .dbsize: reply.integer(self.lanes.count)
        case .type: reply.simpleString(self.find(request, 1) == nil ? "none" : "vectorset")
        case .exists: return self.exists(request, &reply)
        case .scan: try self.scan(request, &reply)
        case .memoryUsage: try self.memoryUsage(request, &reply)
        case .reload: return try self.reload(request)
        }
        return .done
    }

    package func batch(
        _ changes: [Request],
        connection: inout ConnectionState
    ) throws(ArgumentFailure) -> ChangeBatch {
        self.refresh()
        return try Changes.batch(
            self.checked(changes.map { change throws(ArgumentFailure) in try ParsedChange(change) }),
            connection
        )
    }
}
