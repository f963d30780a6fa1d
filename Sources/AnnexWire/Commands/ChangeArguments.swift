/// The arguments of a change of what is known of a user, whichever it is.
package enum ChangeArguments: Equatable, Sendable {
    case event(EventArguments)
    case remove(EventDeleteArguments)
    case forget(ForgetArguments)

    /// The arity must have been checked.
    package init(_ change: CommandSpecification.Change, _ request: Request) throws(ArgumentFailure) {
        switch change {
        case .event: self = .event(try EventArguments(request))
        case .remove: self = .remove(try EventDeleteArguments(request))
        case .forget: self = .forget(try ForgetArguments(request))
        }
    }

    /// Of one change as a batch holds it, whose words nobody has looked at.
    package init(_ request: Request, table: CommandTable = .standard) throws(ArgumentFailure) {
        try self.init(table.change(request), request)
    }
}

extension CommandTable {
    /// Which change of one user a request is.
    ///
    /// - Throws: where it is no command, has too few or too many words, or is no change.
    func change(_ request: Request) throws(ArgumentFailure) -> CommandSpecification.Change {
        switch self.lookup(request) {
        case .refused(let failure, _): throw failure
        case .command(let found, _):
            guard let change = found.change else {
                throw ArgumentFailure("'\(request.printable(0))' is no change: give EVENT, EVENT.DEL or FORGET")
            }
            return change
        }
    }
}
