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
}

/// One change of a batch, whose words nobody has looked at before.
package struct ParsedChange: Sendable {
    package let request: Request
    package let arguments: ChangeArguments

    /// - Throws: where it is no command, has too few or too many words, is no change, or has words that a change does not take.
    package init(_ request: Request) throws(ArgumentFailure) {
        self.request = request
        self.arguments = try ChangeArguments(CommandTable.standard.change(request), request)
    }
}

extension CommandTable {
    /// Which change of one user a request is.
    ///
    /// - Throws: where it is no command, has too few or too many words, or is no change.
    fileprivate func change(_ request: Request) throws(ArgumentFailure) -> CommandSpecification.Change {
        switch self.lookup(request) {
        case .refused(let failure, _): throw failure
        case .command(let found, _, _):
            guard let change = found.change else {
                throw ArgumentFailure("'\(request.printable(0))' is no change: give EVENT, EVENT.DEL or FORGET")
            }
            return change
        }
    }
}
