extension CommandSpecification {
    /// Commands of one class run while others of it are still owed their replies: so a pipeline of events shares flushes of
    /// the disk, and a pipeline of reads is on its way to many shards at once. A read never overtakes an event.
    package enum PipelineClass: Sendable {
        /// It runs when all replies before it have been given.
        case alone
        /// Reads nothing that those before it change.
        case changes
        /// Changes nothing.
        case reads
        /// Says something about the next command: it runs at once, whatever is owed.
        case prefix
    }

    /// Says whom a command concerns. Rights are given by it.
    package enum CommandClass: String, Sendable {
        /// Changes nothing.
        case read
        /// Changes what is known of users.
        case event
        /// The command concerns the server itself.
        case admin
    }

    /// The way a command is taken between MULTI and EXEC.
    package enum InTransaction: Sendable {
        /// It is kept for EXEC.
        case kept
        /// It has no place there, and EXEC will be refused.
        case refused
        /// It is the MULTI that may not come twice.
        case begins
        /// It is carried out at once.
        case runs
    }

    /// A change of what is known of one user.
    package enum Change: Sendable, Equatable { case event, remove, forget }

    /// An answer that a router makes by itself, as no shard can.
    package enum RouterAnswer: Sendable { case readiness, waitForPosition, refuseReload }

    /// The way a router takes a command of the handler.
    package enum Routing: Sendable, Equatable {
        /// Any replica of any shard gives the same answer.
        case anywhere
        /// A replica of the shard that has the user reads.
        case user
        /// Each shard reads for those of the users that it has; the parts are put together.
        case users
        /// The shard that has the user stores it, in the order in which the client sent it.
        case change(Change)
        /// The same for several changes, of users of one slot.
        case changes
        case atRouter(RouterAnswer)
    }

    package var owner: Owner {
        switch self.id {
        case .connection, .help: .connection
        case .handler: .handler
        case .container: self.subcommands.first?.owner ?? .connection
        }
    }

    /// Tells whether its keys are users, who live on one shard each.
    package var isAboutUser: Bool {
        switch self.routing {
        case .user, .users, .change, .changes, .atRouter(.waitForPosition): true
        case .anywhere, .atRouter(.readiness), .atRouter(.refuseReload): false
        }
    }

    /// The change of one user that it is, as a batch may hold; nil for anything else.
    package var change: Change? {
        guard case .change(let change) = self.routing else { return nil }
        return change
    }

    /// The first key stands at this position; 0 where there is none or where a count says how many there are.
    package var firstKey: Int {
        switch self.keys {
        case .none, .counted: 0
        case .first, .all: 1
        case .second: 2
        }
    }
    /// The last key stands at this position; -1 stands for the last argument.
    package var lastKey: Int { self.keys == .all ? -1 : self.firstKey }
    package var keyStep: Int { self.firstKey == 0 ? 0 : 1 }

    /// Returns where the keys of a command are that begins at argument `base`; nil where a count does not fit the
    /// arguments. The arity must have been checked.
    package func keys(in request: Request, from base: Int = 0) -> Range<Int>? {
        switch self.keys {
        case .none: return base..<base
        case .first: return base + 1..<base + 2
        case .second: return base + 2..<base + 3
        case .all: return base + 1..<request.count
        case .counted:
            guard let count = request.integer(base + 1), count >= 1, count <= request.count - base - 2 else {
                return nil
            }
            return base + 2..<base + 2 + count
        }
    }

    package func accepts(count: Int) -> Bool { self.arity >= 0 ? count == self.arity : count >= -self.arity }

    /// Writes the syntax, as in `TOPK user k [INDEX name] …`.
    package var syntax: String {
        ([self.name.uppercased().replacing("|", with: " ")] + self.arguments.map(\.syntax)).joined(separator: " ")
    }
}
