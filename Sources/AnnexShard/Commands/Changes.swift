import AnnexCore
import AnnexEngine
import AnnexWire

/// A change that was checked, and how its command is answered once it is durable.
struct CheckedChange: Sendable {
    let change: UserChange
    let version: ServedVersion
    /// - Parameter wasThere: whether the state had anything of it.
    let write: @Sendable (_ wasThere: Bool, inout ReplyWriter) -> Void
}

/// Answers EVENT, EVENT.DEL, FORGET and ATOMIC.
extension ShardHandler {
    func change(
        _ change: CommandSpecification.Change,
        _ request: Request,
        _ connection: ConnectionState
    ) throws(ArgumentFailure) -> Disposition {
        Changes.record(try self.checked(ChangeArguments(change, request), request), request, connection)
    }

    func atomic(_ request: Request, _ connection: ConnectionState) throws(ArgumentFailure) -> Disposition {
        let changes = try self.checked(AtomicArguments(request).changes)
        return try Changes.record(together: changes, request, connection)
    }

    /// Checks the changes against the indexes that they name.
    func checked(_ changes: [ParsedChange]) throws(ArgumentFailure) -> [CheckedChange] {
        try changes.map { change throws(ArgumentFailure) in try self.checked(change.arguments, change.request) }
    }

    private func checked(_ arguments: ChangeArguments, _ request: Request) throws(ArgumentFailure) -> CheckedChange {
        switch arguments {
        case .event(let event):
            return try Changes.event(event, request, self.lane(request, name: event.index).context)
        case .remove(let remove):
            return try Changes.delete(remove, request, self.lane(request, name: remove.index).context)
        case .forget(let forget):
            return try Changes.forget(forget, request, self.lane(request, name: forget.index).context)
        }
    }
}

/// Changes are checked here, and answered when they are durable.
enum Changes {
    static func event(
        _ arguments: EventArguments,
        _ request: Request,
        _ context: QueryContext
    ) throws(ArgumentFailure) -> CheckedChange {
        let user = try Self.identifier(request, arguments.user, "user")
        let item = try Self.identifier(request, arguments.item, "item")
        try Self.checkState(context)
        guard context.ordinal(of: item.bytes.span) != nil else {
            throw ArgumentFailure(
                code: .noItem,
                "no item '\(request.printable(arguments.item))' in index '\(context.version.description.index)', nothing was "
                    + "stored: check the id, or build a version with it"
            )
        }
        try Self.checkWeight(arguments.weight, context.version.description)
        let change = UserChange.event(user: user, item: item, weight: arguments.weight, time: arguments.time)
        return CheckedChange(change: change, version: context.version) { _, reply in reply.status("OK") }
    }

    static func delete(
        _ arguments: EventDeleteArguments,
        _ request: Request,
        _ context: QueryContext
    ) throws(ArgumentFailure) -> CheckedChange {
        let user = try Self.identifier(request, arguments.user, "user")
        let item = try Self.identifier(request, arguments.item, "item")
        try Self.checkState(context)
        let wasTrained = try Self.asking { () throws(AnnexError) in
            try context.trainedHistory(of: user, has: item)
        }
        return CheckedChange(change: .remove(user: user, item: item), version: context.version) { wasThere, reply in
            reply.integer(wasThere || wasTrained ? 1 : 0)
        }
    }

    static func forget(
        _ arguments: ForgetArguments,
        _ request: Request,
        _ context: QueryContext
    ) throws(ArgumentFailure) -> CheckedChange {
        let user = try Self.identifier(request, arguments.user, "user")
        try Self.checkState(context)
        let wasTrained = try Self.asking { () throws(AnnexError) in
            try context.versionKnows(user.bytes.span)
        }
        return CheckedChange(change: .forget(user: user), version: context.version) { wasThere, reply in
            reply.integer(wasThere || wasTrained ? 1 : 0)
        }
    }

    // MARK: Storing

    /// Answered when the change is durable.
    static func record(_ checked: CheckedChange, _ request: Request, _ connection: ConnectionState) -> Disposition {
        let (until, givesPosition) = (connection.deadline, connection.givesPositions)
        return .pending(bytes: request.heldBytes) { promise in
            checked.version.record([checked.change], until: until) { _, result in
                promise.fulfil { reply in
                    Self.write(result, givesPosition, &reply) { checked.write($0[0], &$1) }
                }
            }
        }
    }

    /// Changes that are stored together, each of which is answered by itself.
    static func batch(
        _ changes: [CheckedChange],
        _ connection: ConnectionState
    ) throws(ArgumentFailure) -> ChangeBatch {
        let version = try Self.version(of: changes)
        let (until, givesPosition) = (connection.deadline, connection.givesPositions)
        return ChangeBatch(count: changes.count) { batch in
            version.record(changes.map(\.change), until: until) { indices, result in
                for (number, index) in indices.enumerated() {
                    batch.fulfil(index) { reply in
                        Self.write(result, givesPosition, &reply) { changes[index].write($0[number], &$1) }
                    }
                }
            }
        }
    }

    /// Records the changes of ATOMIC, which have one reply. They are of one slot, so that even a log has them in one
    /// entry.
    static func record(
        together changes: [CheckedChange],
        _ request: Request,
        _ connection: ConnectionState
    ) throws(ArgumentFailure) -> Disposition {
        let version = try Self.version(of: changes)
        let (until, givesPosition) = (connection.deadline, connection.givesPositions)
        return .pending(bytes: request.heldBytes) { promise in
            version.record(changes.map(\.change), until: until) { _, result in
                promise.fulfil { reply in
                    Self.write(result, givesPosition, &reply) { wereThere, reply in
                        reply.array(changes.count)
                        for (change, wasThere) in zip(changes, wereThere) { change.write(wasThere, &reply) }
                    }
                }
            }
        }
    }

    /// Returns the one index that all changes concern, as each has a state of its own.
    private static func version(of changes: [CheckedChange]) throws(ArgumentFailure) -> ServedVersion {
        let version = changes[0].version
        guard changes.allSatisfy({ $0.version === version }) else {
            throw ArgumentFailure(
                "changes of several indexes cannot be stored together: send those of each index apart"
            )
        }
        let limit = Limits.maximumEntryChanges
        guard version.log != nil, changes.count > limit else { return version }
        var counts: [Int: Int] = [:]
        for change in changes { counts[change.change.slot, default: 0] += 1 }
        guard counts.values.allSatisfy({ $0 <= limit }) else {
            throw ArgumentFailure(
                "more than \(limit) changes of one slot: with a log they are one entry; send them in parts"
            )
        }
        return version
    }

    private static func write(
        _ result: Result<RecordedChanges, AnnexError>,
        _ givesPosition: Bool,
        _ reply: inout ReplyWriter,
        _ body: (_ wereThere: [Bool], inout ReplyWriter) -> Void
    ) {
        switch result {
        case .success(let changes):
            if givesPosition { reply.array(2) }
            body(changes.wereThere, &reply)
            guard givesPosition else { return }
            if let token = changes.token { reply.bulk("\(token)") } else { reply.null() }
        case .failure(let error): reply.error(error)
        }
    }

    // MARK: Arguments

    private static func checkState(_ context: QueryContext) throws(ArgumentFailure) {
        guard !context.version.keepsState else { return }
        throw ArgumentFailure("this server keeps no state, nothing was stored: start it with --state DIR")
    }

    /// A larger weight would drown the rest of a history in rounding when the user's vector is solved for.
    private static func checkWeight(_ weight: Double, _ version: VersionDescription) throws(ArgumentFailure) {
        guard let alpha = version.weightScale, abs(weight) * alpha > Limits.maximumConfidence else { return }
        throw ArgumentFailure(
            "invalid weight '\(weight)', nothing was stored: with this version's alpha of \(alpha) a weight is at most "
                + "\(Limits.maximumConfidence / alpha) in size"
        )
    }

    private static func identifier(
        _ request: Request,
        _ position: Int,
        _ what: StaticString
    ) throws(ArgumentFailure) -> Identifier {
        guard let id = request.identifier(position) else {
            throw ArgumentFailure(
                "'\(request.printable(position))' is no \(what)'s id: give 1 to \(Identifier.maximumLength) bytes of UTF-8"
            )
        }
        return id
    }

    private static func asking<R>(_ body: () throws(AnnexError) -> R) throws(ArgumentFailure) -> R {
        do throws(AnnexError) { return try body() } catch { throw ArgumentFailure(error) }
    }
}
